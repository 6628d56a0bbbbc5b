"""The same network in every runtime, side by side in one run: time, and distance from fp32."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wetgate.backends import Session, apply_net, load_session
from wetgate.backends.base import Planes, SessionBase
from wetgate.backends.gpu import gpu_names
from wetgate.backends.plain import plain_package
from wetgate.backends.quantize import difference, quantize
from wetgate.backends.record import Fed
from wetgate.bench.only_net import OnlyNet
from wetgate.bench.plates import SPACE, write_plate
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    bootstrap_ratio,
    machine_facts,
    package_versions,
)
from wetgate.model.errors import WetgateError
from wetgate.operators.denoise.operator import SPATIAL, TEMPORAL
from wetgate.recipe import Recipe, Step
from wetgate.render.fed import planes_fed
from wetgate.render.job import run_job
from wetgate.render.options import JobOptions
from wetgate.weights import ModelPackage, list_models, shipped_folder

SPEED_BF16, PSNR_BF16, SPEED_INT8, LOSS_INT8 = 1.6, 60.0, 2.4, 0.3
ENGINE, TILED, FRAME_MS = 1.05, 1e-5, 100.0
_SIDE = 256
_TASK_PSNR = 38.0
"""Quality at which the loss by int8 is stated where the card measured none, dB."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One way to run a network.

    Attributes:
        goal: least speed-up over the reference, 0 for none.
    """

    name: str
    backend: str
    precision: str
    quantised: bool = False
    goal: float = 0.0


RUNTIMES = (
    Runtime("OpenVINO f32", "openvino", "fp32"),
    Runtime("OpenVINO bf16", "openvino", "bf16", goal=SPEED_BF16),
    Runtime("OpenVINO int8", "openvino", "int8", quantised=True, goal=SPEED_INT8),
    Runtime("ONNX Runtime int8", "onnx", "int8", quantised=True),
    Runtime("torch fp32", "torch", "fp32"),
    Runtime("torch bf16", "torch", "bf16"),
)


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure every network that ships, or plain ones with random weights while none does.

    Args:
        quick: fewer repeats, the smallest two networks.
        data: unused; the plates are generated.
    """
    repeats = 4 if quick else 9
    with tempfile.TemporaryDirectory(prefix="wetgate-") as name:
        folder = Path(name)
        digest = write_plate(folder / "plate", range(1, 8), 320, 240)
        nets = _networks(folder, quick)
        rows = []
        for package in nets:
            fed, origin = _fed(package, folder / "plate")
            int8 = quantize(package, fed, destination=folder / "int8", shot="generated").package
            rows += compare(package, int8, fed, repeats, origin)
            rows.append(tiled_row(package, fed[0].planes))
        size, frames = ((1280, 720), 2) if quick else ((1920, 1080), 4)
        for package in _of_denoise(nets) or [_light(folder, 1)]:
            place = folder / package.card.name
            rows.append(engine_row(package, place, size=size, frames=frames, repeats=repeats // 2))
        by_four = [p for p in nets if p.card.scale == 4] or [_light(folder, 4)]
        rows += frame_rows(by_four[0], 5 if quick else 25)
        rows += _gpu_rows(nets) if gpu_names() else []
    return BenchTable(
        name="runtimes",
        rows=tuple(rows),
        data={
            "generated 320x240 10-bit DPX with grain, 7 frames": digest,
            **{p.card.name: f"sha256:{p.card.digest[:32]}" for p in nets},
        },
        versions=package_versions(("wetgate", "onnxruntime", "openvino", "torch", "numpy")),
        machine=machine_facts(),
    )


def _networks(folder: Path, quick: bool) -> list[ModelPackage]:
    nets = [p for p in list_models() if p.folder.parent == shipped_folder()]
    if not nets:
        nets = [
            plain_package(folder, name="random-plain-32x9", width=32, depth=9),
            plain_package(folder, name="random-half-64x8", width=64, depth=8, unshuffle=2),
            _light(folder, 4),
        ]
    nets.sort(key=lambda p: p.card.parameters)
    return nets[:2] if quick else nets


def _of_denoise(nets: Sequence[ModelPackage]) -> list[ModelPackage]:
    """Return the networks of the two stages of denoise, or the smallest of no other size."""
    known = [p for p in nets if p.card.name in (SPATIAL, TEMPORAL)]
    return known or [p for p in nets if p.card.scale == 1][:1]


def _light(folder: Path, scale: int) -> ModelPackage:
    return plain_package(folder, name=f"random-light-x{scale}", width=16, depth=6, scale=scale)


def _fed(package: ModelPackage, plate: Path) -> tuple[list[Fed], str]:
    """Return what the network is fed on the plate, and in words where it comes from."""
    card = package.card
    side = _SIDE - _SIDE % card.size_multiple
    try:
        seen = planes_fed(card, plate, input_space=SPACE)
        fed = [_cut(f, side, card.size_multiple) for f in seen]
        if fed:
            units = sum(f.unit for f in fed) / len(fed)
            return fed[:8], f"planes of its operator on the plate, 1 of its output is {units:.3g}"
        reason = "its operator did not ask it"
    except WetgateError as error:
        reason = error.found
    rng = np.random.default_rng(1)
    planes = [rng.random((len(card.inputs), side, side), dtype=np.float32) for _ in range(4)]
    return [Fed(p) for p in planes], f"random planes ({reason})"


def _cut(fed: Fed, side: int, multiple: int) -> Fed:
    height, width = (min(side, n // multiple * multiple) for n in fed.planes.shape[1:])
    return Fed(np.ascontiguousarray(fed.planes[:, :height, :width]), fed.unit)


def compare(
    package: ModelPackage, int8: ModelPackage, fed: Sequence[Fed], repeats: int, origin: str
) -> list[BenchRow]:
    """Time all runtimes on one tile in turn and measure how far each is from float32."""
    reference = load_session(package, backend="onnx", device="cpu")
    sessions: dict[str, tuple[Runtime, Session]] = {}
    for runtime in RUNTIMES:
        session = load_session(
            int8 if runtime.quantised else package,
            backend=runtime.backend, precision=runtime.precision, device="cpu",
        )  # fmt: skip
        if not session.choice.fell_back:
            sessions[runtime.name] = runtime, session
    tile = fed[0].planes[None]
    calls = {name: _call(session, tile) for name, (_, session) in sessions.items()}
    spent = _in_turn({"reference": _call(reference, tile), **calls}, repeats)
    mpx = tile.shape[2] * tile.shape[3] / 1e6
    rows = [
        BenchRow(
            case=f"{package.card.name}: ONNX Runtime fp32",
            wetgate=statistics.median(spent["reference"]) / mpx,
            unit="ms/Mpx",
            note=f"{package.card.architecture}, {package.card.parameters:,} parameters; {origin}; "
            f"tile of {tile.shape[3]} x {tile.shape[2]} px, 1 thread, CPU time",
        )
    ]
    for name, (runtime, session) in sessions.items():
        psnr, worst = difference(reference, session, fed)
        ratio, interval = bootstrap_ratio(spent[name], spent["reference"])
        goal, reached, extra = _goal(runtime, package, psnr, ratio)
        rows.append(
            BenchRow(
                case=f"{package.card.name}: {name}",
                wetgate=statistics.median(spent[name]) / mpx,
                peer=statistics.median(spent["reference"]) / mpx,
                peer_name="ONNX Runtime fp32",
                ratio=ratio,
                interval=interval,
                unit="ms/Mpx",
                goal=goal,
                reached=reached,
                extra={"dB to fp32": psnr, "worst": worst, **extra},
            )
        )
    return rows


def _goal(
    runtime: Runtime, package: ModelPackage, psnr: float, ratio: float
) -> tuple[str, bool | None, dict[str, float | str]]:
    if runtime.precision == "bf16" and runtime.goal:
        words = f">= {runtime.goal:g}, >= {PSNR_BF16:g} dB"
        return words, ratio >= runtime.goal and psnr >= PSNR_BF16, {}
    if runtime.precision != "int8":
        return "", None, {}
    measured = [q.value for q in package.card.quality if q.metric.startswith("PSNR")]
    at = max(measured, default=_TASK_PSNR)
    loss = 10 * math.log10(1 + 10 ** ((at - psnr) / 10))
    extra: dict[str, float | str] = {"loss dB": f"{loss:.2f} at {at:.1f}"}
    if not runtime.goal:
        return "", None, extra
    words = f">= {runtime.goal:g}, <= {LOSS_INT8:g} dB"
    return words, ratio >= runtime.goal and loss <= LOSS_INT8, extra


def tiled_row(package: ModelPackage, planes: Planes) -> BenchRow:
    """Compare a frame in one piece with the same in small tiles, in float32."""
    card = package.card
    tile = max(64, 3 * card.halo + 32)
    tile -= tile % math.lcm(16, card.size_multiple)
    big = np.tile(planes, (1, 2, 2))
    worst: dict[str, float] = {}
    for backend in ("onnx", "openvino", "torch"):
        session = load_session(package, backend=backend, device="cpu")
        if session.choice.fell_back or not isinstance(session, SessionBase):
            continue
        whole = apply_net(session, big, origin=(0, 0))
        small = _Cut(session, (tile, tile))
        worst[backend] = float(np.abs(apply_net(small, big, origin=(0, 0)) - whole).max())
    return BenchRow(
        case=f"{card.name}: tiled and whole",
        wetgate=max(worst.values()),
        unit="",
        goal=f"<= {TILED:g}",
        reached=max(worst.values()) <= TILED,
        note=f"largest difference, tiles of {tile} px of {big.shape[2]} x {big.shape[1]} px: "
        + ", ".join(f"{name} {value:.3g}" for name, value in worst.items()),
    )


class _Cut(SessionBase):
    """A session that is only given small tiles."""

    def __init__(self, inner: Session, tile: tuple[int, int]) -> None:
        super().__init__(inner.card, inner.choice, tile=tile)
        self._inner = inner

    def _infer(self, planes: Planes) -> Planes:
        return self._inner.run(planes)


_MEMORY = 8 << 30
"""For the engine: a network of four strides holds all planes of a frame with wide halos."""


def engine_row(
    package: ModelPackage, folder: Path, *, size: tuple[int, int], frames: int, repeats: int
) -> BenchRow:
    """Time a whole job, files in and out, beside the bare session on the very same tiles."""
    width, height = size
    write_plate(folder / "engine", range(1, frames + 1), width, height)
    session = load_session(package, backend="onnx", device="cpu")
    operator = OnlyNet(session)
    turns = itertools.count()

    def job() -> None:
        operator.shapes.clear()
        run_job(
            JobOptions(
                plate=folder / "engine",
                out=folder / f"out{next(turns)}",
                recipe=Recipe(name="net", steps=(Step(operator="net"),), input_space=SPACE),
                memory=_MEMORY,
                threads=1,
            ),
            make=lambda _name, _params: operator,
        )

    job()
    tiles = [np.full(shape, 0.4, np.float32) for shape in operator.shapes]

    def bare() -> None:
        for tile in tiles:
            session.run(tile)

    spent = _in_turn({"engine": job, "bare": bare}, repeats)
    ratio, interval = bootstrap_ratio(spent["bare"], spent["engine"])
    return BenchRow(
        case=f"{package.card.name}: engine end to end over the bare session",
        wetgate=statistics.median(spent["engine"]) / frames,
        peer=statistics.median(spent["bare"]) / frames,
        peer_name="session.run on the same tiles",
        ratio=ratio,
        interval=interval,
        goal=f"<= {ENGINE:g}",
        reached=ratio <= ENGINE,
        unit="ms/frame",
        note=f"{frames} frames of {width} x {height} px, 10-bit DPX in and out with its check, "
        f"report and manifest, {len(tiles)} tiles, 1 thread, CPU time",
    )


def frame_rows(package: ModelPackage, repeats: int) -> list[BenchRow]:
    """Time one 320 x 180 px frame through a x4 network on two threads, wall time."""
    planes = np.random.default_rng(1).random((len(package.card.inputs), 180, 320), dtype=np.float32)
    rows = []
    for backend, precision in (("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")):
        session = load_session(
            package, backend=backend, precision=precision, threads=2, device="cpu"
        )
        if session.choice.fell_back:
            continue
        call = _call_net(session, planes)
        spent = _in_turn({"frame": call}, repeats, clock=time.perf_counter)["frame"]
        cpu = statistics.median(_in_turn({"frame": call}, repeats)["frame"])
        rows.append(
            BenchRow(
                case=f"{package.card.name}: 180p to 720p, {backend} {precision}",
                wetgate=statistics.median(spent),
                goal=f"< {FRAME_MS:g}",
                reached=statistics.median(spent) < FRAME_MS,
                note=f"median of {repeats}, wall time on 2 threads, the network alone; least "
                f"{min(spent):.1f} ms; CPU {cpu:.1f} ms",
            )
        )
    return rows


def _gpu_rows(nets: Sequence[ModelPackage]) -> list[BenchRow]:
    rows = []
    for package, precision in itertools.product(nets, ("fp32", "fp16", "bf16")):
        card = package.card
        session = load_session(package, backend="torch", precision=precision, device="gpu")
        if session.choice.fell_back:
            continue
        shape = len(card.inputs), 2160 // card.scale, 3840 // card.scale
        planes = np.random.default_rng(1).random(shape, dtype=np.float32)
        call = _call_net(session, planes)
        spent = _in_turn({"frame": call}, 5, clock=time.perf_counter)["frame"]
        tile = np.ascontiguousarray(planes[:, :_SIDE, :_SIDE])
        psnr, worst = difference(
            load_session(package, backend="onnx", device="cpu"), _Padded(session), [Fed(tile)]
        )
        rows.append(
            BenchRow(
                case=f"{card.name}: torch {precision} on {session.choice.device}, 4K out",
                wetgate=statistics.median(spent),
                unit="ms/frame",
                extra={"dB to fp32": psnr, "worst": worst},
            )
        )
    return rows


class _Padded(SessionBase):
    """Runs a session of fixed tiles on planes of any size."""

    def __init__(self, inner: Session) -> None:
        super().__init__(inner.card, inner.choice)
        self._inner = inner

    def _infer(self, planes: Planes) -> Planes:
        return np.stack([apply_net(self._inner, p, origin=(0, 0)) for p in planes])


def _call(session: Session, tile: Planes) -> Callable[[], object]:
    return lambda: session.run(tile)


def _call_net(session: Session, planes: Planes) -> Callable[[], object]:
    return lambda: apply_net(session, planes, origin=(0, 0))


def _in_turn(
    calls: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Time calls in turn, the order reversed every other time, after one unmeasured turn; ms."""
    for call in calls.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats):
        for name in list(calls)[:: -1 if turn % 2 else 1]:
            start = clock()
            calls[name]()
            spent[name].append((clock() - start) * 1e3)
    return spent
