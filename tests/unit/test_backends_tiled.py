"""One result however the frame is cut, however little memory there is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wetgate.backends import Choice, SessionBase, apply_net, fit_tiles, load_session
from wetgate.backends.base import is_out_of_memory
from wetgate.backends.record import recording
from wetgate.model.errors import BackendError, OutOfMemory
from wetgate.weights import ModelPackage

from tests.support.nets import make_package, reference

NETS: list[dict[str, Any]] = [
    {"depth": 4},
    {"kind": "unet"},
    {"unshuffle": 2, "width": 16},
    {"unshuffle": 2, "kind": "unet", "planes_in": 7},
    {"scale": 2},
    {"scale": 4, "width": 12, "planes_in": 4},
    {"unshuffle": 2, "scale": 2, "kind": "unet"},
]


@pytest.fixture(scope="module", params=NETS, ids=str)
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return make_package(tmp_path_factory.mktemp("net"), **request.param)


def planes_for(net: ModelPackage, height: int, width: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    return rng.normal(0.5, 1.0, (len(net.card.inputs), height, width)).astype(np.float32)


def halved_reference(net: ModelPackage, planes: NDArray[np.float32]) -> NDArray[np.float64]:
    m, s = net.card.size_multiple, net.card.scale
    _, h, w = planes.shape
    padded = np.pad(planes, ((0, 0), (0, -h % m), (0, -w % m)), mode="edge")
    return reference(net, padded)[:, : h * s, : w * s]


def test_equals_a_second_implementation(net: ModelPackage) -> None:
    x = planes_for(net, 45, 61)
    got = apply_net(load_session(net), x, origin=(0, 0))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, halved_reference(net, x), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "cut", [(3, 5, 67, 93), (0, 1, 52, 77), (11, 14, 60, 80), (1, 0, 66, 93), (7, 2, 67, 49)]
)
def test_the_same_bits_for_every_cut(net: ModelPackage, cut: tuple[int, int, int, int]) -> None:
    session = load_session(net)
    x = planes_for(net, 67, 93)
    whole = apply_net(session, x, origin=(0, 0))
    y0, x0, y1, x1 = cut
    part = apply_net(session, x[:, y0:y1, x0:x1], origin=(y0, x0))
    h, s = net.card.halo, net.card.scale
    a, b = y0 + (h if y0 else 0), y1 - (h if y1 < 67 else 0)
    c, d = x0 + (h if x0 else 0), x1 - (h if x1 < 93 else 0)
    assert b > a and d > c
    np.testing.assert_array_equal(
        part[:, (a - y0) * s : (b - y0) * s, (c - x0) * s : (d - x0) * s],
        whole[:, a * s : b * s, c * s : d * s],
    )


def test_the_halo_of_the_helper_is_the_least_that_will_do(net: ModelPackage) -> None:
    """Else the tests above would prove nothing: one value moves all it can reach, and no more."""
    m, h, s = net.card.size_multiple, net.card.halo, net.card.scale
    size = 4 * h + 4 * m
    size += -size % m
    x = np.abs(planes_for(net, size, size))
    session = load_session(net)
    reached = 0
    for phase in range(m):
        moved = x.copy()
        at = size // 2 // m * m + phase
        moved[:, at, at] += 100.0
        difference = apply_net(session, moved, origin=(0, 0)) - apply_net(session, x, origin=(0, 0))
        rows = np.flatnonzero(np.any(difference != 0, axis=(0, 2))) // s
        reached = max(reached, int(abs(rows - at).max()))
    assert h - 2 * (m - 1) <= reached <= h


def test_negative_origins_keep_the_grid(net: ModelPackage) -> None:
    session = load_session(net)
    x = planes_for(net, 80, 80)
    h, s = net.card.halo, net.card.scale
    whole = apply_net(session, x, origin=(-8, -8))
    part = apply_net(session, x[:, 5:, 3:], origin=(-3, -5))
    np.testing.assert_array_equal(part[:, h * s :, h * s :], whole[:, (5 + h) * s :, (3 + h) * s :])


class Tight(SessionBase):
    """Runs a network as long as the px of all tiles together stay below a limit."""

    def __init__(self, package: ModelPackage, most: int, error: BaseException) -> None:
        choice = Choice(backend="test", device="cpu", precision="fp32", reason="a test")
        super().__init__(package.card, choice)
        self.inner, self.most, self.error = load_session(package), most, error
        self.shapes: list[tuple[int, ...]] = []

    def _infer(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shapes.append(planes.shape)
        if planes.shape[0] * planes.shape[2] * planes.shape[3] > self.most:
            raise self.error
        return self.inner.run(planes)


class RuntimeException(Exception):
    """The name and the words of ONNX Runtime's own class."""


SPENT = [
    MemoryError(),
    RuntimeException("[ONNXRuntimeError] : 6 : bfc_arena.cc Failed to allocate memory for 123"),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you"),
    RuntimeError("Exception from src: std::bad_alloc"),
]


@pytest.mark.parametrize("error", SPENT, ids=lambda e: str(e)[:30])
def test_memory_trouble_halves_the_tile_and_changes_nothing(
    net: ModelPackage, error: BaseException
) -> None:
    x = planes_for(net, 150, 203)
    least = max(16, 3 * net.card.halo + 16)
    session = Tight(net, (least + 16) * 110, error)
    got = apply_net(session, x, origin=(2, 7))
    np.testing.assert_array_equal(got, apply_net(load_session(net), x, origin=(2, 7)))
    assert "out of memory on a tile of" in session.notes[0]
    assert session.tile is not None and f"{session.tile[1]} x {session.tile[0]} px" in "".join(
        session.notes
    )
    # Remembered: the next call meets no trouble at all.
    before = len(session.shapes)
    apply_net(session, x, origin=(2, 7))
    assert all(s[0] * s[2] * s[3] <= session.most for s in session.shapes[before:])


STARVED = """
import resource, sys
from pathlib import Path
import numpy as np, psutil
from wetgate.backends import apply_net, load_session
session = load_session(Path(sys.argv[1]), backend=sys.argv[2], device="cpu")
planes = np.random.default_rng(0).random((3, 600, 600), dtype=np.float32)
apply_net(session, planes[:, :64, :64], origin=(0, 0))
room = psutil.Process().memory_info().vms + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (room, room))
out = apply_net(session, planes, origin=(0, 0))
np.save(sys.argv[3], out)
print(*session.notes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit of address space")
@pytest.mark.parametrize("backend", ["onnx", "openvino", "torch"])
def test_a_library_that_really_runs_out_goes_on_with_half(tmp_path: Path, backend: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend), reason="an extra")
    net = make_package(tmp_path, width=64, depth=3)
    done = subprocess.run(
        [sys.executable, "-c", STARVED, str(net.folder), backend, str(tmp_path / "y")],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "out of memory on a tile of 600 x 600 px" in done.stdout
    assert done.stderr == ""
    x = np.random.default_rng(0).random((3, 600, 600), dtype=np.float32)
    expected = apply_net(load_session(net), x, origin=(0, 0))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=0, atol=1e-6)


def test_when_nothing_fits_it_says_so(net: ModelPackage) -> None:
    session = Tight(net, 0, MemoryError())
    with pytest.raises(OutOfMemory, match="--memory") as caught:
        apply_net(session, planes_for(net, 150, 203), origin=(0, 0))
    assert caught.value.exit_code == 5


def test_other_trouble_is_not_taken_for_memory(net: ModelPackage) -> None:
    session = Tight(net, 0, ValueError("a dimension does not fit"))
    with pytest.raises(BackendError, match="a dimension does not fit"):
        apply_net(session, planes_for(net, 50, 50), origin=(0, 0))
    assert session.notes == ()
    assert not is_out_of_memory(ValueError("memory layout"))


def test_few_shapes_come_and_in_batches(net: ModelPackage) -> None:
    session = Tight(net, 10**9, MemoryError())
    least = max(64, 3 * net.card.halo + 32)
    session.limit_tile((least + -least % 32, least + -least % 32), "a test")
    session.grain, session.batch = 32, 2
    for height, width in ((203, 150), (30, 41), (61, 64), (200, 159)):
        x = planes_for(net, height, width)
        got = apply_net(session, x, origin=(0, 0))
        # What is padded up to the grain shows as far as the halo, as any rim does.
        free = apply_net(load_session(net), x, origin=(0, 0))
        h, s = net.card.halo, net.card.scale
        inside = np.s_[:, : max(0, height - h) * s, : max(0, width - h) * s]
        np.testing.assert_array_equal(got[inside], free[inside])
    grain = np.lcm(32, net.card.size_multiple)
    assert all(n % grain == 0 for shape in session.shapes for n in shape[2:])
    assert len({shape[2:] for shape in session.shapes}) <= 4
    assert {s[0] for s in session.shapes} == {1, 2}


def test_threads_share_one_session(net: ModelPackage) -> None:
    x = planes_for(net, 64, 64)
    expected = apply_net(load_session(net), x, origin=(0, 0))
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            if not np.array_equal(apply_net(load_session(net), x, origin=(0, 0)), expected):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 16, 16), "f4"), ((3, 16, 16), "f8"), ((3, 16, 16), "f2")]
)
def test_planes_that_the_card_does_not_name_are_refused(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    session = load_session(make_package(tmp_path))
    with pytest.raises(BackendError, match="float32"):
        apply_net(session, np.zeros(shape, dtype), origin=(0, 0))


def test_the_recorder_keeps_an_even_sample(tmp_path: Path) -> None:
    net = make_package(tmp_path)
    session = load_session(net)
    with recording(4) as recorder:
        for i in range(11):
            apply_net(session, np.full((3, 8, 8), i, np.float32), origin=(0, 0))
    apply_net(session, np.full((3, 8, 8), 99, np.float32), origin=(0, 0))
    assert recorder.names == (net.card.name,)
    assert [int(f.planes[0, 0, 0]) for f in recorder.fed(net.card.name)] == [0, 4, 8]
    with recording() as recorder:
        unit = np.float32([[3.0, 4.0]])
        apply_net(session, np.zeros((3, 8, 8), np.float32), origin=(0, 0), unit=unit)
    assert recorder.fed(net.card.name)[0].unit == pytest.approx(np.sqrt(12.5))


# ruff: noqa: E501
# performance.md, section 3: px computed / needed with square tiles, fixed and fitted.
OVERHEAD = [
    ((2048, 1556), 16, {256: (1.30, 1.30), 512: (1.65, 1.17), 768: (1.67, 1.08), 1024: (1.97, 1.06)}),
    ((2048, 1556), 32, {256: (1.81, 1.81), 512: (1.65, 1.30), 768: (1.67, 1.20), 1024: (1.97, 1.13)}),
    ((3840, 2160), 16, {256: (1.34, 1.34), 512: (1.26, 1.15), 768: (1.28, 1.10), 1024: (1.52, 1.08)}),
    ((3840, 2160), 32, {256: (1.74, 1.74), 512: (1.42, 1.33), 768: (1.28, 1.17), 1024: (1.52, 1.12)}),
    ((3840, 2160), 64, {256: (3.67, 3.67), 512: (1.90, 1.78), 768: (1.71, 1.39), 1024: (1.90, 1.30)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("size", "halo", "tile", "fixed", "fitted"),
    [(size, halo, t, *pair) for size, halo, row in OVERHEAD for t, pair in row.items()],
)
def test_pixel_overhead_is_that_of_the_table(
    size: tuple[int, int], halo: int, tile: int, fixed: float, fitted: float
) -> None:
    cuts = [fit_tiles(length, tile, halo) for length in size]
    count = len(cuts[0].starts) * len(cuts[1].starts)
    needed = size[0] * size[1]
    assert count * cuts[0].size * cuts[1].size / needed == pytest.approx(fitted, abs=0.0051)
    assert count * tile * tile / needed == pytest.approx(fixed, abs=0.0051)


@pytest.mark.parametrize("multiple", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("halo", [0, 3, 16, 21])
def test_tiles_cover_an_axis_and_lie_on_the_grid(multiple: int, halo: int) -> None:
    for length in range(multiple, 900, 17 * multiple):
        for tile in (96, 144, 256):
            cut = fit_tiles(length, tile, halo, multiple)
            owned = [px for first, end in cut.kept for px in range(first, end)]
            assert owned == list(range(length))
            for start, (first, end) in zip(cut.starts, cut.kept, strict=True):
                assert start % multiple == 0
                assert start == 0 or first - start >= halo
                assert start + cut.size == length or start + cut.size - end >= halo
                assert start + cut.size <= length


def test_a_tile_of_halos_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="between halos of 32"):
        fit_tiles(1000, 64, 32)
