"""A headless Chromium, driven through its debugging pipe: tests open a page, press keys and read what it shows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or os.name == "nt", reason="needs Chromium (Debian: apt-get install chromium)"
)


class Browser:
    """One page. Errors that its scripts raise are collected in `errors`.

    Messages are JSON, each ended by a zero byte: the browser reads them from its file descriptor 3 and writes them to 4.
    """

    def __init__(self, profile: Path, width: int = 1280, height: int = 900) -> None:
        import fcntl  # not on Windows

        assert CHROMIUM
        (read_end, self.send_end), (self.receive_end, write_end) = os.pipe(), os.pipe()
        inner = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (read_end, write_end)]  # so that neither is 3 or 4
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        redirected = f'exec "$0" "$@" 3<&{inner[0]} 4>&{inner[1]}'
        command = ["bash", "-c", redirected, CHROMIUM, *flags, f"--window-size={width},{height}"]
        self.process = subprocess.Popen(command, pass_fds=inner, stderr=subprocess.DEVNULL)
        for end in (read_end, write_end, *inner):
            os.close(end)
        self.count, self.buffer, self.session, self.errors = 0, b"", None, list[str]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Page"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.send_end)
        os.close(self.receive_end)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and its result."""
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.send_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("text", "") + json.dumps(answer["params"])[:500])
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            data = os.read(self.receive_end, 1 << 20)
            assert data, "Chromium has ended"
            self.buffer += data
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"].get(
            "value"
        )

    def wait(self, expression: str, seconds: float = 60) -> Any:
        """The value of an expression once it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.value(expression):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {expression}; errors: {self.errors}")

    def press(self, key: str) -> None:
        """Press a key and release it."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at `start`, in CSS pixels, move it to `end` and release it."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
