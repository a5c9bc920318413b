"""`benchmarks.gpu_session` with small commands in place of its stages: limits, interruptions, and what is left on disk."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_session
from benchmarks.gpu_session import Session, Stage

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sessions need process groups")

HANG = "import time; print('begun', flush=True); time.sleep(600)"
HANG_WITH_A_CHILD = (
    "import pathlib, subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "pathlib.Path({path!r}).write_text(str(child.pid)); time.sleep(600)"
)


def stage(name: str, program: str, share: float = 1, **how: Any) -> Stage:
    return Stage(name, (sys.executable, "-u", "-c", program), share, **how)


def saved(folder: Path) -> dict[str, dict[str, Any]]:
    """The stages in session.json by name."""
    return {each["name"]: each for each in json.loads((folder / "session.json").read_text())["stages"]}


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_stages_that_pass_leave_a_summary_a_log_and_no_other_file(tmp_path: Path) -> None:
    stages = [stage("first", "print('one'); print('1 passed')"), stage("second", "print('a table')", shown=True)]
    assert Session(stages, tmp_path / "out", 60).run()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.txt", "session.json", "summary.md"]
    assert {name: each["status"] for name, each in saved(tmp_path / "out").items()} == {"first": "passed", "second": "passed"}
    assert json.loads((tmp_path / "out" / "session.json").read_text())["finished"]
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "| first | passed |" in summary
    assert "| 1 passed |" in summary
    assert "```\na table\n```" in summary
    assert "one\n1 passed" in (tmp_path / "out" / "log.txt").read_text()


def test_a_failing_stage_is_named_with_its_output_and_the_next_stage_runs(tmp_path: Path) -> None:
    stages = [stage("bad", "print('so far so good'); raise SystemExit('broken: why')"), stage("good", "print('fine')")]
    assert not Session(stages, tmp_path, 60).run()
    assert [(each["status"], each["reason"]) for each in saved(tmp_path).values()] == [
        ("failed", "broken: why"), ("passed", "fine"),
    ]  # fmt: skip
    assert "## bad: failed\n\n```\nso far so good\nbroken: why\n```" in (tmp_path / "summary.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stage_over_its_limit_is_killed_with_its_child(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    stages = [stage("hangs", HANG_WITH_A_CHILD.format(path=str(path)), share=1), stage("good", "print('fine')", share=9)]
    begin = time.monotonic()
    assert not Session(stages, tmp_path / "out", 30).run()
    assert time.monotonic() - begin < 20
    wait_until(lambda: not is_running(int(path.read_text())))
    assert saved(tmp_path / "out")["hangs"]["status"] == "stopped"
    assert saved(tmp_path / "out")["hangs"]["reason"] == "stopped after 3 s"
    assert saved(tmp_path / "out")["good"]["status"] == "passed"


def test_a_stage_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_session, "GRACE", 0.5)
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + HANG
    assert not Session([stage("stubborn", program)], tmp_path, 2).run()
    assert saved(tmp_path)["stubborn"]["output"] == ["begun"]


def test_a_stage_that_prints_without_end_is_stopped_and_the_log_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_session, "LOG_BYTES", 1 << 20)
    assert not Session([stage("loud", "while True: print('x' * 1000)")], tmp_path, 60).run()
    assert saved(tmp_path)["loud"]["reason"] == "stopped after printing 1 MB"
    assert (tmp_path / "log.txt").stat().st_size < (1 << 20) + 1000


def test_time_saved_by_a_stage_goes_to_the_later_ones(tmp_path: Path) -> None:
    stages = [stage("short", "", share=3), stage("long", "", share=1)]
    Session(stages, tmp_path, 40).run()
    assert stages[0].limit == pytest.approx(30, abs=1)
    assert stages[1].limit > 30


def test_a_stage_whose_package_is_missing_is_skipped_and_says_how_to_get_it(tmp_path: Path) -> None:
    stages = [stage("tests", "", needs=("json", "no_such_module")), stage("good", "print('fine')")]
    assert Session(stages, tmp_path, 60).run()
    assert saved(tmp_path)["tests"]["status"] == "skipped"
    assert saved(tmp_path)["tests"]["reason"] == "not installed: no_such_module (pip install no_such_module)"


def test_nothing_that_could_run_is_not_a_success(tmp_path: Path) -> None:
    assert not Session([stage("tests", "", needs=("no_such_module",))], tmp_path, 60).run()


def test_stages_after_a_vital_one_that_failed_are_skipped(tmp_path: Path) -> None:
    stages = [stage("machine", "raise SystemExit('no GPU')", vital=True), stage("tests", "print('ran')")]
    assert not Session(stages, tmp_path, 60).run()
    assert saved(tmp_path)["tests"]["reason"] == "the stage machine did not pass"
    assert "ran" not in saved(tmp_path)["tests"]["output"]


def test_no_stage_starts_when_the_time_is_over(tmp_path: Path) -> None:
    assert not Session([stage("late", "print('ran')")], tmp_path, 0).run()
    assert saved(tmp_path)["late"]["reason"] == "no time was left"


@contextlib.contextmanager
def session_in_its_second_stage(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A session as a program of its own, killed half way: its first stage has passed, its second one hangs."""
    program = (
        "import sys; from benchmarks import gpu_session;"
        "stages = [gpu_session.Stage(name, (sys.executable, '-u', '-c', text), 1) for name, text in"
        f" [('good', 'print(1)'), ('hangs', {HANG_WITH_A_CHILD.format(path=str(folder / 'pid'))!r}), ('later', '')]];"
        "gpu_session.gpu_stages = lambda: stages;"
        f"sys.exit(gpu_session.main(['--out', {str(folder / 'out')!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until((folder / "pid").exists)
        wait_until(lambda: bool((folder / "pid").read_text()))
        yield process
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_session_keeps_its_results_and_leaves_no_process(tmp_path: Path, sign: int) -> None:
    with session_in_its_second_stage(tmp_path) as process:
        process.send_signal(sign)
        assert process.wait(30) == 130
        wait_until(lambda: not is_running(int((tmp_path / "pid").read_text())))
    assert [each["status"] for each in saved(tmp_path / "out").values()] == ["passed", "interrupted", "interrupted"]
    assert "| hangs | interrupted |" in (tmp_path / "out" / "summary.md").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_session_keeps_its_results_and_its_stage_ends(tmp_path: Path) -> None:
    with session_in_its_second_stage(tmp_path) as process:
        (stage_pid,) = map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
        assert is_running(stage_pid)
        process.kill()
        process.wait()
        wait_until(lambda: not is_running(stage_pid))
    assert [each["status"] for each in saved(tmp_path / "out").values()] == ["passed", "running", "waiting"]
    assert "| good | passed |" in (tmp_path / "out" / "summary.md").read_text()
    assert "=== good" in (tmp_path / "out" / "log.txt").read_text()


def test_a_session_never_writes_into_the_folder_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "session.json").write_text("{}")
    with pytest.raises(SystemExit, match="2"):
        gpu_session.main(["--out", str(tmp_path)])
    assert "already holds a session" in capsys.readouterr().err
    assert (tmp_path / "session.json").read_text() == "{}"


def test_it_starts_with_the_standard_library_alone(tmp_path: Path) -> None:
    """As a file and as a module, without site-packages: every stage but the description is skipped."""
    for i, start in enumerate((["-m", "benchmarks.gpu_session"], ["benchmarks/gpu_session.py"])):
        out = tmp_path / str(i)
        done = subprocess.run(
            [sys.executable, "-S", *start, "--out", str(out)], capture_output=True, text=True, cwd=ROOT,
            env={"PATH": os.environ.get("PATH", "")},
        )  # fmt: skip
        assert done.returncode == 1
        assert not done.stderr
        stages = list(saved(out).values())
        assert [each["status"] for each in stages[1:]] == ["skipped"] * 4
        assert "pytest" in stages[1]["reason"]


def test_its_commands_exist_and_need_what_they_say() -> None:
    for each in gpu_session.gpu_stages():
        module = each.command[each.command.index("-m") + 1]
        assert importlib.util.find_spec(module), module
    assert 60 * gpu_session.MINUTES + gpu_session.GRACE < 8 * 60


def test_progress_bars_show_their_last_state(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before\n\r10%\r50%\r100%\nDone\r\n")
    assert gpu_session.last_lines(log, 0) == ["before", "100%", "Done"]


def test_the_captured_steps_fail_where_there_is_no_gpu_and_say_why() -> None:
    from minigrad.arrays.backend import why_no_gpu

    if why_no_gpu() is None:
        pytest.skip("there is a GPU")
    done = subprocess.run([sys.executable, "-m", "tests.cuda.capture_report"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert str(why_no_gpu()) in done.stderr
