"""safetensors files: saved arrays load unchanged, other tools read them, and no failure leaves half a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minigrad as mg
from minigrad import FileError, Tensor, nn
from minigrad.io.files import write_atomically
from minigrad.io.safetensors import load_with_metadata

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "double": np.array([0.1, np.nan, np.inf]),
    "half": np.ones((2, 2), np.float16),
    "number": np.array(3.5),
    "count": np.array([1, -2], np.int64),
    "bytes": np.arange(256, dtype=np.uint8),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def assert_equal(read: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert read.keys() == expected.keys()
    for name, a in expected.items():
        assert read[name].dtype == a.dtype.newbyteorder("=")
        np.testing.assert_array_equal(read[name], a)
        assert read[name].shape == a.shape


def test_saved_arrays_load_unchanged(path: Path) -> None:
    mg.save(path, ARRAYS)
    assert_equal(mg.load(path), ARRAYS)
    assert_equal(mg.load(str(path)), ARRAYS)


def test_the_safetensors_library_reads_and_writes_the_same_files(path: Path) -> None:
    mg.save(path, ARRAYS)
    assert_equal(load_file(path), ARRAYS)
    save_file(ARRAYS, path)
    assert_equal(mg.load(path), ARRAYS)


@pytest.mark.parametrize(
    "array",
    [ARRAYS["weight"].T, ARRAYS["weight"][:, ::-2], ARRAYS["weight"].astype(">f4"), np.broadcast_to(np.float32(2), (3, 2))],
    ids=["transposed", "strided", "big-endian", "broadcast"],
)
def test_layout_and_byte_order_in_memory_do_not_matter(path: Path, array: np.ndarray) -> None:
    mg.save(path, {"a": array})
    assert_equal(mg.load(path), {"a": array})


def test_tensors_and_numbers_are_saved_as_arrays(path: Path) -> None:
    mg.save(
        path, {"tensor": Tensor(ARRAYS["weight"], requires_grad=True), "number": 3, "transposed": Tensor(ARRAYS["weight"]).T}
    )
    expected = {"tensor": ARRAYS["weight"], "number": np.array(3), "transposed": ARRAYS["weight"].T}
    assert_equal(mg.load(path), expected)


def test_loaded_arrays_can_be_written_to(path: Path) -> None:
    mg.save(path, ARRAYS)
    loaded = mg.load(path)
    loaded["weight"][0, 0] = 9
    assert mg.load(path)["weight"][0, 0] == 0


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    mg.save(path, {"w": np.arange(3, dtype=np.float32), "n": np.array(7)}, {"step": "12"})
    good = path.read_bytes()
    name = good.index(b"crc32")  # without this key, it is a valid file of another program
    for i in set(range(8 * len(good))) - set(range(8 * name, 8 * (name + 5))):
        bad = bytearray(good)
        bad[i // 8] ^= 1 << i % 8
        path.write_bytes(bad)
        with pytest.raises(FileError, match=r"weights\.safetensors is damaged"):
            mg.load(path)


def test_metadata_is_kept_beside_the_arrays(path: Path) -> None:
    mg.save(path, ARRAYS, {"seed": "7", "note": "ünïcödé"})
    assert load_with_metadata(path)[1] == {"seed": "7", "note": "ünïcödé"}
    mg.save(path, ARRAYS)
    assert load_with_metadata(path)[1] == {}


def test_a_file_has_the_permissions_of_any_new_file(path: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    mg.save(path, ARRAYS)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_missing_file_is_named(path: Path) -> None:
    for read in (mg.load, load_with_metadata):
        with pytest.raises(FileError, match=rf"^cannot read {path}: No such file"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\xff" * 100, b"\x02" + bytes(7) + b"{}"[:1]], ids=repr)
def test_a_file_that_is_not_safetensors_is_refused_by_name(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for read in (mg.load, load_with_metadata):
        with pytest.raises(FileError, match=rf"^{path} is damaged or no safetensors file"):
            read(path)


def test_every_truncation_is_noticed(path: Path) -> None:
    mg.save(path, {"weight": ARRAYS["weight"], "count": ARRAYS["count"]})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="is damaged"):
            mg.load(path)


def test_saving_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"^cannot write .*nowhere/w\.safetensors: No such file or directory"):
        mg.save(tmp_path / "nowhere" / "w.safetensors", ARRAYS)


def test_saving_over_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match=r"^cannot write .*taken: ."):
        mg.save(tmp_path / "taken", ARRAYS)
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    mg.save(path, ARRAYS)

    def fail(handle: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    expected = FileError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        mg.save(path, {"other": np.zeros(3)})
    if expected is FileError:
        assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert_equal(mg.load(path), ARRAYS)
    assert os.listdir(path.parent) == [path.name]


def test_the_new_file_is_on_disk_before_it_replaces_the_old_one_and_then_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(handle: int) -> None:
        status = os.fstat(handle)
        calls.append(("fsync", "folder" if stat.S_ISDIR(status.st_mode) else status.st_size))
        fsync(handle)

    def logged_replace(source: str, target: Path) -> None:
        calls.append(("replace", Path(source).stat().st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    write_atomically(path, b"content")
    assert calls == [("fsync", 7), ("replace", 7), ("fsync", "folder")]
    assert path.read_bytes() == b"content"


def test_arguments_in_pytorch_order_are_refused_in_words(tmp_path: Path) -> None:
    for first in ({"a": np.ones(2)}, nn.Linear(2, 3)):
        with pytest.raises(TypeError, match=r"save takes the path first: save\(path, arrays\)"):
            mg.save(first, tmp_path / "a.safetensors")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.Linear(2, 3), r"save takes arrays by name: save\(path, x\.state_dict\(\)\), where x is the Linear"),
        ([np.ones(2)], "save takes a dictionary of arrays by name, not a list"),
        ({"net": {"weight": np.ones(2)}, "epoch": 3}, r"save: net is a dictionary; names are flat, so write net\.weight"),
        ({0: np.ones(2)}, "save: the name 0 is not a string"),
        ({"rows": [[1], [1, 2]]}, "save: rows: "),
        ({"best": None}, "save: best: a tensor holds numbers, not object"),
    ],
    ids=["module", "list", "nested", "name", "ragged", "value"],
)
def test_what_is_no_dictionary_of_arrays_is_refused_and_nothing_written(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        mg.save(tmp_path / "a.safetensors", given)
    assert list(tmp_path.iterdir()) == []


def test_a_path_is_no_state(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"load_state_dict takes arrays by name, as mg\.load\(path\)"):
        nn.Linear(2, 3).load_state_dict(str(tmp_path / "a.safetensors"))  # type: ignore[arg-type]


def a_file(header: bytes, values: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + values


NUMBER = b'{"dtype":"F32","shape":[],"data_offsets":[0,4]}'
STRANGE = {
    "no metadata": a_file(b'{"__metadata__":null,"a":' + NUMBER + b"}", bytes(4)),
    "metadata of numbers": a_file(b'{"__metadata__":{"a":1},"a":' + NUMBER + b"}", bytes(4)),
    "a list as metadata": a_file(b'{"__metadata__":[],"a":' + NUMBER + b"}", bytes(4)),
    "a name twice": a_file(b'{"a":' + NUMBER + b',"a":' + NUMBER + b"}", bytes(4)),
    "metadata twice": a_file(b'{"__metadata__":{},"__metadata__":null,"a":' + NUMBER + b"}", bytes(4)),
    "nothing of a huge shape": a_file(b'{"a":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}}'),
    "a huge shape": a_file(b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}', bytes(4)),
    "a shape of a hundred": a_file(b'{"a":{"dtype":"F32","shape":[' + b"1," * 99 + b'1],"data_offsets":[0,4]}}', bytes(4)),
    "a negative shape": a_file(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
    "bfloat16": a_file(b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}', bytes(4)),
    "float8": a_file(b'{"a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}', bytes(4)),
    "float4": a_file(b'{"a":{"dtype":"F4","shape":[8],"data_offsets":[0,4]}}', bytes(4)),
    "complex": a_file(b'{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}', bytes(8)),
    "deep": a_file(b'{"a":' * 50_000),
    "a deep list": a_file(b"[" * 100_000),
    "a long number": a_file(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', bytes(4)),
    "overlapping": a_file(b'{"a":' + NUMBER + b',"b":' + NUMBER + b"}", bytes(4)),
    "no header": a_file(b""),
    "another encoding": a_file(b"\xff\xfe{\0}\0"),
    "half a character": a_file(b'{"\\ud800":' + NUMBER + b"}", bytes(4)),
}  # fmt: skip


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE.keys())
def test_a_strange_header_gives_arrays_or_one_sentence(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        assert all(isinstance(a, np.ndarray) for a in mg.load(path).values())
    except FileError as error:
        start, newline, _ = str(error).partition("\n")
        refused = start.startswith(f"{path} is damaged or no safetensors file")
        assert refused and not newline, start
