"""Recording one reference value leaves all others bit for bit as they were."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from reference import gan_runs, record, recordings

import minigrad as mg
from minigrad.io.safetensors import load_with_metadata

Arrays = dict[str, np.ndarray]
MAKERS = {name: lambda i=i: {"out": np.full(2, i + 0.1), "grad.0": np.array(i)} for i, name in enumerate(("a", "a/b", "c"))}
HERE = Path(recordings.__file__).parent


def bits(path: Path) -> dict[str, bytes]:
    return {key: f"{a.dtype} {a.shape}".encode() + a.tobytes() for key, a in mg.load(path).items()}


def spoil(path: Path, prefix: str) -> None:
    """Change the values of one recording, so that recording it again shows."""
    arrays, metadata = load_with_metadata(path)
    changed = {key: a + 1 if key.startswith(prefix) else a for key, a in arrays.items()}
    assert any(key.startswith(prefix) for key in arrays)
    mg.save(path, changed, {key: value for key, value in metadata.items() if key == "torch"})


def lose(path: Path, prefix: str) -> None:
    arrays, metadata = load_with_metadata(path)
    kept = {key: a for key, a in arrays.items() if not key.startswith(prefix)}
    assert len(kept) < len(arrays)
    mg.save(path, kept, {key: value for key, value in metadata.items() if key == "torch"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "values.safetensors"
    assert recordings.update(path, MAKERS, made_by="1.0") == ["a", "a/b", "c"]
    return path


def test_without_a_name_only_what_is_missing_is_recorded(path: Path) -> None:
    whole = bits(path)
    assert whole.keys() == {f"{name}/{key}" for name in MAKERS for key in ("out", "grad.0")}
    assert recordings.update(path, MAKERS) == []
    lose(path, "c/")
    spoil(path, "a/out")
    before = bits(path)
    assert recordings.update(path, MAKERS, made_by="2.0") == ["c"]
    assert bits(path) == {**before, **{key: whole[key] for key in ("c/out", "c/grad.0")}}
    assert load_with_metadata(path)[1]["torch"] == "1.0, 2.0"


def test_a_named_recording_is_made_again_and_the_others_are_not(path: Path) -> None:
    whole = bits(path)
    for prefix in ("c/", "a/b/"):
        spoil(path, prefix)
    before = bits(path)
    assert recordings.update(path, MAKERS, ["c"]) == ["c"]
    assert bits(path) == {**before, **{key: whole[key] for key in ("c/out", "c/grad.0")}}
    assert before["a/b/out"] != whole["a/b/out"]


def test_all_makes_everything_again_and_drops_what_no_maker_makes(path: Path) -> None:
    whole = bits(path)
    spoil(path, "c/")
    assert recordings.update(path, {**MAKERS, "d": lambda: {"": np.zeros(1)}}) == ["d"]
    assert recordings.update(path, MAKERS, everything=True, made_by="2.0") == list(MAKERS)
    assert bits(path) == whole
    assert load_with_metadata(path)[1]["torch"] == "2.0"


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recordings.parse("record.py", ["a", "b"], ["c"])
    assert "unknown: c" in capsys.readouterr().err


def test_record_adds_a_missing_case_and_makes_a_named_one_again(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    files = [tmp_path / name for name in ("ops.safetensors", "optim.safetensors")]
    for file in files:
        shutil.copy(HERE / file.name, file)
    ops, optim = (bits(file) for file in files)
    lose(files[0], "pad/reflect/")
    lose(files[1], "sgd")
    record.main([], tmp_path)
    assert [bits(file).keys() for file in files] == [ops.keys(), optim.keys()]
    assert {key for key in ops if bits(files[0])[key] != ops[key]} <= {key for key in ops if key.startswith("pad/reflect/")}
    np.testing.assert_allclose(mg.load(files[0])["pad/reflect/out"], mg.load(HERE / "ops.safetensors")["pad/reflect/out"])
    spoil(files[1], "adam_defaults")
    record.main(["adam_defaults"], tmp_path)
    for name, values in mg.load(files[1]).items():
        np.testing.assert_allclose(values, mg.load(HERE / "optim.safetensors")[name], rtol=1e-12)


def test_gan_runs_records_a_named_run(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "gan_runs.safetensors"
    shutil.copy(gan_runs.RECORDED, path)
    before = bits(path)
    spoil(path, "mnist_gan.")
    gan_runs.main(["mnist_gan"], path)
    after = bits(path)
    assert after.keys() == before.keys()
    assert {key for key in before if after[key] != before[key]} <= {key for key in before if key.startswith("mnist_gan.")}
    np.testing.assert_allclose(mg.load(path)["mnist_gan.metrics"], mg.load(gan_runs.RECORDED)["mnist_gan.metrics"], rtol=1e-9)
