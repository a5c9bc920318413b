"""One training step, opened up as a page in the browser: `python -m gans.explain dcgan`.

    python -m gans.explain NAME [--run RUN] [--out FILE.html] [the trainer's flags]

runs one step of a trainer on a small batch and writes one HTML file, which needs no network and no server. It shows the step as
a graph; each op with its formula, its source, its value and its gradients; every backward pass in the order in which the engine
ran it; which parameters each loss reaches; and the calls that capture noted of the same step.

    record.py       `Recorder`: an observer of the engine that turns one step into nodes and backward passes
    calls.py        what capture noted of the same step, call by call, and which op or backward made each call
    statistics.py   numbers, histogram and picture of an array
    page            the page: HTML, a style sheet and plain JavaScript, no library, which become one file when a page is written
    exercises.py    ten questions; `python -m gans.explain.exercises`

How a step is recorded. The engine reports what it does to an observer (`minigrad.modes.Observer`): each op that is applied, and
in a walk back each contribution that an op sends to one of its inputs. This needs no change to any trainer. Two other designs
were considered. Reading the graph after the step, as `mg.draw` does, would show no values, no order, nothing under `no_grad`,
and no cotangents: the walk frees them. Running the step on a subclass of Tensor would need a second implementation of the walk.
"""
