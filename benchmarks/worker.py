"""What runs in a side's process: makes an object, calls its methods as it is asked to, and answers with what they return.

A line comes in on standard input for each call, as JSON, and one goes out. What the libraries print goes to standard error.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from benchmarks.settings import Settings

KNOWN = {  # in the message of an error -> what a table says
    "C++ compiler": "no C++ compiler",
    "triton": "no Triton",
    "double backward": "no gradients of gradients",
    "out of memory": "out of memory",
}


def main() -> None:
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
    """What a call returns, or why it failed: in some words, and in full."""
    try:
        return {"result": call()}
    except Exception as error:  # whatever it is, the other side's measurements are worth keeping
        return {"error": in_a_word(error), "details": traceback.format_exc()}


def in_a_word(error: Exception) -> str:
    text = str(error)
    for sign, words in KNOWN.items():
        if sign.lower() in text.lower():
            return words
    return f"{type(error).__name__}: {text.partition(os.linesep)[0][:100]}"


if __name__ == "__main__":
    main()
