"""`python -m gans.toy --serve`: a page to play with. The page only draws; this process trains.

One thread owns the engine: it obeys the page's orders, trains, and leaves a snapshot of what there is
to see. The threads that answer requests only pass on orders and the last snapshot.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from gans.toy.data import DISTRIBUTIONS, Mixture
from gans.toy.losses import LOSSES
from gans.toy.modes import coverage
from gans.toy.pictures import line_of, optimal, places_of, ranks, sigmoid, smoothed
from gans.toy.trainer import LR, Diverged, ToyGAN
from gans.training.config import ConfigError

PAGE = Path(__file__).with_name("page.html")
HOST = "127.0.0.1"  # nobody else's machine
FRAME = 1 / 25  # seconds; least time between two snapshots
TRAINING = 1 / 40  # seconds of a frame for training at most, so that there are 10 frames a second also on a slow machine
POINTS, ARROWS, SIDE, HISTORY = 400, 60, 40, 400
LARGEST = 100_000  # bytes of an order
PATIENCE = 3.0  # seconds without a request, after which training waits for a page

Order = dict[str, Any]


class Playground:
    """What is being trained, and how. Only its own thread calls the engine."""

    def __init__(self) -> None:
        self.orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self.data, self.loss, self.d_lr, self.g_lr, self.per_frame, self.seed = "ring", "gan", LR, LR, 10, 0
        self.running, self.once = False, False
        self.message = ""  # why training stopped
        self.asked = 0.0  # when a page last asked for a snapshot
        self.snapshot: bytes = b"{}"

    def run(self) -> None:
        """Take turns, for ever."""
        self.restart()
        while True:
            started = time.monotonic()
            self.turn()
            time.sleep(max(0.001, FRAME - (time.monotonic() - started)))

    @np.errstate(all="ignore")
    def turn(self) -> None:
        """Obey, train, and take a snapshot of what has changed."""
        changed = self.obey()
        if self.once or (self.running and time.monotonic() - self.asked < PATIENCE):
            self.train()
            changed = True
        if changed:
            self.snapshot = json.dumps(self.state()).encode()

    def train(self) -> None:
        """The steps of one frame, or as many as there is time for."""
        end = time.monotonic() + TRAINING
        try:
            for _ in range(1 if self.once else self.per_frame):
                losses = self.toy.train(1)
                if time.monotonic() > end:
                    break
            self.losses.append(list(losses.values()))
        except Diverged as error:
            self.running, self.message = False, str(error)
        self.once = False

    def obey(self) -> bool:
        """Carry out the orders that have come. Returns whether there were any."""
        obeyed = False
        while not self.orders.empty():
            order = self.orders.get()
            self.data, self.loss = order.get("data", self.data), order.get("loss", self.loss)
            self.d_lr, self.g_lr = order.get("d_lr", self.d_lr), order.get("g_lr", self.g_lr)
            self.per_frame = order.get("per_frame", self.per_frame)
            self.running, self.once = order.get("running", self.running), order.get("once", False)
            if "centres" in order and np.shape(order["centres"]) == self.toy.real.centres.shape:
                self.toy.real = Mixture(np.array(order["centres"], float), self.toy.real.sigma)
            if order.get("restart") or {"data", "loss"} & order.keys():
                self.restart()
            self.toy.d_optimizer.lr, self.toy.g_optimizer.lr = self.d_lr, self.g_lr
            obeyed = True
        return obeyed

    def restart(self) -> None:
        self.toy = ToyGAN(DISTRIBUTIONS[self.data](), LOSSES[self.loss], self.seed)
        self.losses: deque[list[float]] = deque(maxlen=HISTORY)
        self.message = ""
        self.snapshot = json.dumps(self.state()).encode()

    def state(self) -> dict[str, Any]:
        """All that the page draws."""
        toy = self.toy
        fake = toy.generate(POINTS)
        shown: dict[str, Any] = self.line() if toy.real.dimensions == 1 else self.plane()
        hit, good, _ = coverage(toy.real, toy.generate(500)) if toy.real.modes else (None, None, None)
        return {
            "step": toy.done, "message": self.message, "running": self.running,
            "data": self.data, "loss": self.loss, "d_lr": self.d_lr, "g_lr": self.g_lr, "per_frame": self.per_frame,
            "losses": finite(self.losses), "hit": hit, "good": good,
            "modes": len(toy.real.centres), "centres": toy.real.centres.tolist() if toy.real.modes else [],
            "fake": finite(fake), "arrows": finite(toy.arrows(fake)[:ARROWS]), **shown,
        }  # fmt: skip

    def plane(self) -> dict[str, Any]:
        """D's field on a grid, and points of the data."""
        side, places = places_of(self.toy, SIDE)
        field = ranks(self.toy.scores(places))
        real = self.toy.real.sample(POINTS, np.random.default_rng(0))
        return {"side": side, "field": finite(field), "real": finite(real)}

    def line(self) -> dict[str, Any]:
        """Both densities, D(x) and D*(x) along the line."""
        side, x = line_of(self.toy)
        p, q = self.toy.real.density(x), smoothed(self.toy.generate(5_000)[:, 0], x[:, 0])
        d = sigmoid(self.toy.scores(x))
        return {
            "side": side,
            "x": finite(x[:, 0]),
            "p": finite(p),
            "q": finite(q),
            "d": finite(d),
            "best": finite(optimal(p, q)),
        }


def page() -> bytes:
    """The page, with the names that one can choose."""
    text = PAGE.read_text("utf-8")
    for place, names in (("DATA_NAMES", DISTRIBUTIONS), ("LOSS_NAMES", LOSSES)):
        text = text.replace(place, json.dumps(list(names)))
    return text.encode()


def finite(values: Any) -> Any:
    """As lists for JSON, which has no NaN: null in its place."""
    rounded = np.round(np.asarray(values, float), 4)
    listed = rounded.astype(object)
    listed[~np.isfinite(rounded)] = None
    return listed.tolist()


def checked(body: bytes) -> Order:
    """An order from the page. ValueError, with a sentence, if it is none."""
    order = json.loads(body)
    if not isinstance(order, dict):
        raise ValueError("an order is a JSON object")
    allowed = {
        "data": lambda v: v in list(DISTRIBUTIONS),  # a list compares what cannot be a key, too
        "loss": lambda v: v in list(LOSSES),
        "d_lr": _is_rate,
        "g_lr": _is_rate,
        "per_frame": lambda v: type(v) is int and 1 <= v <= 100,
        "running": lambda v: type(v) is bool,
        "once": lambda v: type(v) is bool,
        "restart": lambda v: type(v) is bool,
        "centres": lambda v: isinstance(v, list) and all(_is_point(c) for c in v) and len({len(c) for c in v}) == 1,
    }
    for name, value in order.items():
        if name not in allowed or not (isinstance(value, list | str | float | int) and allowed[name](value)):
            raise ValueError(f"{name[:40]!r} cannot be {str(value)[:80]!r}")
    return order


def _is_rate(v: Any) -> bool:
    return isinstance(v, float | int) and 1e-6 <= v <= 1


def _is_point(c: Any) -> bool:
    return isinstance(c, list) and all(isinstance(v, float | int) and abs(v) < 100 for v in c)  # NaN is not


class Handler(BaseHTTPRequestHandler):
    """GET / is the page, GET /state a snapshot, POST /order an order."""

    playground: Playground

    def do_GET(self) -> None:
        if self.path == "/":
            self.answer(200, "text/html; charset=utf-8", page())
        elif self.path == "/state":
            self.playground.asked = time.monotonic()
            self.answer(200, "application/json", self.playground.snapshot)
        else:
            self.answer(404, "text/plain", b"there is only / and /state")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
            if not 0 <= length <= LARGEST:
                raise ValueError(f"an order has at most {LARGEST:,} bytes")
            self.playground.orders.put(checked(self.rfile.read(length)))
            self.answer(200, "application/json", b"{}")
        except (ValueError, RecursionError) as error:
            self.answer(400, "text/plain; charset=utf-8", str(error).encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        """403 for a request from another site's page, which names its own host."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        origin = self.headers.get("Origin", "")
        if host not in (HOST, "localhost") or (origin and origin.split("//")[-1] != self.headers["Host"]):
            status, kind, body = 403, "text/plain", b"only for pages of this server"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        with contextlib.suppress(ConnectionError):  # a page that was closed
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests come 25 times a second: not worth a line each."""


def start(port: int) -> ThreadingHTTPServer:
    """A server whose playground is running. Port 0 takes a free one. ConfigError if the port is taken."""
    playground = Playground()
    handler = type("PlaygroundHandler", (Handler,), {"playground": playground})
    try:
        server = ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ConfigError(f"cannot listen on port {port} ({error.strerror or error}); choose another with --port") from error
    server.daemon_threads = True
    threading.Thread(target=playground.run, daemon=True).start()
    return server
