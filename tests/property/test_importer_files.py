"""Damaged model files: whatever is in them, a reader says so in its own words or succeeds."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wetgate.importers import Limits
from wetgate.importers.pickles import vet_checkpoint
from wetgate.model.errors import WetgateError

pytest.importorskip("onnx", reason="conversion writes ONNX")
from support.graphs import conv_model
from support.pairs import Pair
from wetgate.importers import onnx_guard
from wetgate.importers.ncnn import convert
from wetgate.importers.onnx_clean import clean
from wetgate.importers.reach import static_reach

LIMITS = Limits(nodes=1000, weights=1 << 20, values=1 << 22)
FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def pair() -> tuple[bytes, bytes]:
    net = Pair(1)
    net.layer("Input", "", "data")
    net.layer("Split", "data", "s0 s1")
    net.conv("s0", "a", (4, 3), "9=2 -23310=1,2.0e-01", half=True)
    net.layer("PixelShuffle", "a", "b", "0=2")
    net.layer("Interp", "s1", "c", "0=2 1=2.0 2=2.0")
    net.layer("BinaryOp", "b c", "d", "0=0")
    net.layer("Crop", "d", "out", "0=1 1=1 3=-233 4=-233 5=-233")
    return net.param, net.bin


PARAM, WEIGHTS = pair()
ONNX = conv_model(scale=2).SerializeToString()

edits = st.lists(
    st.tuples(
        st.sampled_from(["change", "cut", "insert", "double"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, what in changes:
        at = int(where * len(data))
        if kind == "change":
            data = data[:at] + what + data[at + len(what) :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        elif kind == "double":
            data = data[:at] + data[max(0, at - 40) :]
        else:
            data = data[:at] + data[at + 8 * len(what) :]
    return data


@FEW
@given(edits, edits)
def test_a_damaged_ncnn_pair(param: list[tuple[str, float, bytes]], more: object) -> None:
    del more
    with contextlib.suppress(WetgateError):
        convert(edited(PARAM, param), WEIGHTS)


@FEW
@given(
    st.lists(
        st.tuples(
            st.integers(2, 8),
            st.sampled_from(["0", "1", "2", "-1", "-233", "1e9", "nan", "x", "", "-23310=1,1"]),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_odd_numbers_in_a_param_file(changes: list[tuple[int, str, float]]) -> None:
    lines = PARAM.decode().splitlines()
    for line, value, where in changes:
        words = lines[line].split()
        at = int(where * (len(words) - 1))
        key, equals, _ = words[at].partition("=")
        words[at] = f"{key}={value}" if equals else value
        lines[line] = " ".join(words)
    with contextlib.suppress(WetgateError):
        convert("\n".join(lines).encode(), WEIGHTS)


@FEW
@given(edits)
def test_a_damaged_onnx_file(changes: list[tuple[str, float, bytes]]) -> None:
    with contextlib.suppress(WetgateError):
        model = onnx_guard.parse(edited(ONNX, changes), LIMITS)
        onnx_guard.vet(model, LIMITS, inlined=False)
        cleaned = clean(model, LIMITS)
        onnx_guard.vet(cleaned.model, LIMITS)
        onnx_guard.measure_shapes(cleaned.model, LIMITS)
        static_reach(cleaned.model)


def checkpoint(kind: str) -> bytes:
    data = pickle.dumps({"w": [1.0, 2.0, {"a": np.float32(1)}]}, protocol=2)
    if kind == "bare":
        return data
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/data/0", bytes(64))
    return out.getvalue()


@FEW
@given(st.sampled_from(["zip", "bare"]), edits)
def test_a_damaged_checkpoint(
    tmp_path: Path, kind: str, changes: list[tuple[str, float, bytes]]
) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(checkpoint(kind))
    vet_checkpoint(path)
    path.write_bytes(edited(checkpoint(kind), changes))
    with contextlib.suppress(WetgateError):
        vet_checkpoint(path)
