"""A pytest plugin: run the tests that have not passed yet.

`pytest -p not_passed --note-passed FILE` writes the names of the tests that passed to FILE, and `pytest -p not_passed
--not-passed-in FILE` runs all others: those that were skipped because they need a package which has been installed since.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--note-passed", type=Path, metavar="FILE", help="write the names of the tests that pass to FILE")
    parser.addoption("--not-passed-in", type=Path, metavar="FILE", help="leave out the tests whose names are in FILE")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("note_passed")
    if file and "PYTEST_XDIST_WORKER" not in os.environ:  # under -n, the main process gets the reports of all others
        config.pluginmanager.register(Passed(file))


class Passed:
    def __init__(self, file: Path) -> None:
        self.file, self.passed, self.others = file, set[str](), set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:  # skipped or failed, in the test or its fixtures
            self.others.add(report.nodeid)
        elif report.when == "call":
            self.passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.file.write_text("\n".join(sorted(self.passed - self.others)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if file := config.getoption("not_passed_in"):
        passed = set(file.read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]
