"""The program in a worker's process: it makes an object, calls its methods on request, and answers
with their results.

Each call is a line of JSON on standard input, each answer a line on the original standard output.
What the libraries print goes to standard error.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.settings import Settings

KNOWN = {  # part of an error's message -> what a table says
    "C++ compiler": "no C++ compiler",
    "triton": "no Triton",
    "double backward": "no gradients of gradients",
    "out of memory": "out of memory",
}


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the benchmark decides when a worker ends
    path, settings, arguments = sys.argv[1:]
    module, _, name = path.partition(":")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(call: Callable[[], Any]) -> None:
        print(json.dumps(outcome(call)), file=answers, flush=True)

    side: Any = None

    def start() -> str:
        nonlocal side
        side = getattr(importlib.import_module(module), name)(Settings(**json.loads(settings)), **json.loads(arguments))
        return side.about

    answer(start)
    for line in sys.stdin:
        method, given = json.loads(line)
        answer(functools.partial(call_method, side, method, given))


def call_method(side: Any, method: str, arguments: dict[str, Any]) -> Any:
    return getattr(side, method)(**arguments)


def outcome(call: Callable[[], Any]) -> dict[str, Any]:
    """The result of a call, or its error: a short message and the traceback."""
    try:
        return {"result": call()}
    except Exception as error:  # any failure is reported, so that the other side's measurements are kept
        return {"error": short_message(error), "details": traceback.format_exc()}


def short_message(error: Exception) -> str:
    text = str(error)
    for part, words in KNOWN.items():
        if part.lower() in text.lower():
            return words
    return f"{type(error).__name__}: {text.partition(os.linesep)[0][:100]}"


if __name__ == "__main__":
    main()
