"""Instruction sets: what a machine lacks is refused, and the variables leave nothing of AVX-512."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import isa
from benchmarks.measure.process import Worker
from benchmarks.settings import Settings

ROOT = Path(__file__).parents[2]
AVX2 = {"sse2": True, "avx2": True, "fma": True, "avx512f": False, "sha": False}
AVX512 = {**AVX2, **dict.fromkeys((*isa.NEEDS["avx512"], "avx512vnni", "amx-tile"), True)}


def test_what_a_machine_lacks_is_refused_in_a_sentence() -> None:
    assert isa.why_not("avx512", {**AVX512, "avx512vl": False}) == "--isa avx512: this processor has no avx512vl"
    assert isa.why_not("avx2", {"avx2": True}) == "--isa avx2: this processor has no fma"
    assert [isa.why_not(name, AVX512) for name in isa.NEEDS] == [None, None, None]
    assert [isa.widest(features) for features in ({}, AVX2, AVX512)] == ["native", "avx2", "avx512"]


def test_the_program_refuses_what_this_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(isa, "host_features", lambda: AVX2)
    with pytest.raises(SystemExit, match="1"):
        program.main(["--isa", "avx512"])
    assert "benchmarks: --isa avx512: this processor has no avx512f, avx512bw" in capsys.readouterr().err


def test_with_avx2_no_feature_of_avx512_is_left_to_numba() -> None:
    chosen = isa.variables("avx2", AVX512)["NUMBA_CPU_FEATURES"].split(",")
    assert {name for name in chosen if name[0] == "+"} == {"+sse2", "+avx2", "+fma"}
    assert "-avx512f" in chosen  # said aloud: LLVM would take it from the processor's name
    assert isa.variables("native") == {}


def test_flags_of_the_user_for_xla_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--of-the-user")
    assert isa.variables("avx512")["XLA_FLAGS"] == "--of-the-user --xla_cpu_max_isa=AVX512"


def test_a_restricted_worker_says_that_it_is() -> None:
    if reason := isa.why_not("avx2", isa.host_features()):
        pytest.skip(reason)
    with Worker("benchmarks.measure.floor:NumPy", Settings(threads=1, isa="avx2")) as worker:
        assert "OpenBLAS for Haswell" in worker.about or "unknown" in worker.about
    with Worker("benchmarks.measure.floor:Ours", Settings(threads=1, isa="avx2")) as worker:
        assert worker.about.endswith("vectors of 256 bits")


def test_numba_compiles_for_the_features_of_the_variables() -> None:
    """As on a machine with AVX-512: 512 bits unless it is restricted."""
    script = "from minigrad.kernels.cpu import vectors; print(vectors.VECTOR_BYTES)"
    for chosen, width in (("+avx512f,+avx2", "64"), (isa.variables("avx2", AVX512)["NUMBA_CPU_FEATURES"], "32")):
        variables = {**os.environ, "NUMBA_CPU_FEATURES": chosen}
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=variables
        )
        assert done.stdout.strip() == width
