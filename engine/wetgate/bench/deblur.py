"""Deblur with its automatic setting beside peers that know the blur and their best strength.

Pictures are blurred in linear light, get white noise in display codes and are rounded to 8 bits.
wetgate is told nothing: it measures blur and noise of the whole frame, as it does of a shot. The
peers are told the very kernel and get, picture by picture, the setting with the highest PSNR.
Scored is the middle of each picture, in display codes, all three channels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgate.bench.deblur_charts import chart_rows
from wetgate.bench.deblur_peers import CONTEXT, Peer, convolved, peers, to_code, to_linear
from wetgate.bench.material import data_folder, published_stills
from wetgate.bench.table import (
    BenchRow,
    BenchTable,
    digest_bytes,
    machine_facts,
    package_versions,
)
from wetgate.measure import bootstrap_mean, psnr
from wetgate.model.errors import ModelLoadError
from wetgate.operators.base import Analysis, SourceFacts
from wetgate.operators.deblur.operator import DeblurOperator
from wetgate.operators.deblur.psf import Kernel, deviation_of, disc_psf, gaussian_psf, motion_psf
from wetgate.operators.deblur.shot import words
from wetgate.operators.verbs import run_operator

_log = logging.getLogger(__name__)

GOAL_DB = 1.5
_SIDE = 128
_EVERY = 3
_QUICK = 5
_SEED = 17
_MOTIONS = ((5.0, 30.0), (9.0, 100.0))

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Condition:
    """One blur and one level of noise, 8-bit codes."""

    name: str
    kernel: Kernel = field(repr=False)
    noise: float

    @property
    def title(self) -> str:
        """Both in words."""
        return f"{self.name}, noise {self.noise:g}"


def conditions(*, quick: bool) -> list[Condition]:
    """Return what pictures go through: Gaussians and discs, three levels of noise."""
    blurs: list[tuple[str, Kernel]] = [
        (f"Gaussian {s:g} px", gaussian_psf(s)) for s in ((1.5,) if quick else (0.8, 1.5, 2.2))
    ]
    blurs += [(f"disc of radius {r:g} px", disc_psf(r)) for r in ((3.0,) if quick else (1.6, 3.0))]
    return [Condition(n, k, c) for n, k in blurs for c in ((1.0,) if quick else (0.0, 1.0, 2.0))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One picture under one condition, PSNR in dB.

    Attributes:
        net: None when there is no network. best: of each peer by name, with the setting.
        sigma: what wetgate sharpened by, px; 0 when it left the picture alone.
    """

    picture: str
    condition: Condition
    blurred: float
    classical: float
    net: float | None
    best: dict[str, tuple[float, str]]
    sigma: float

    @property
    def ours(self) -> float:
        """With the network if there is one."""
        return self.classical if self.net is None else self.net

    @property
    def best_peer(self) -> float:
        """Of the best peer on this very picture."""
        return max(value for value, _ in self.best.values())


def run(*, quick: bool = False, data: Path | None = None) -> BenchTable:
    """Measure PSNR gain beside oracle peers, motion and sharp pictures left alone, and edges.

    Args:
        quick: five pictures, two blurs, one level of noise.
        data: folder of published pictures; see `material.data_folder`.
    """
    cases: list[Case] = []
    pictures, skipped = material(data_folder(data), quick=quick)
    operator, why = best_operator()
    chosen = peers()
    for condition in conditions(quick=quick):
        for name, picture in pictures.items():
            cases.append(measure_case(name, picture, condition, operator, chosen))
            _log.info("CASE %s", cases[-1])
    rows = [*condition_rows(cases), *summary_rows(cases)]
    rows += _left_alone(pictures, operator, quick=quick)
    rows += chart_rows(operator)
    rows.append(
        BenchRow(
            case="pictures",
            wetgate=float(len(pictures)),
            unit="pictures",
            note="; ".join([*skipped, *([why] if why else []), " ".join((__doc__ or "").split())]),
        )
    )
    return BenchTable(
        name="deblur",
        rows=tuple(rows),
        data={n: digest_bytes(p.tobytes()) for n, p in pictures.items()},
        versions=package_versions(("wetgate", "scikit-image", "onnxruntime", "numpy")),
        machine=machine_facts(),
    )


def best_operator() -> tuple[DeblurOperator, str]:
    """Return the operator as it comes, and why it runs without its network if it does."""
    operator = DeblurOperator()
    try:
        _ = operator.spec
    except ModelLoadError as error:
        return operator.without_network(), f"no network: {error}"
    return operator, ""


def material(folder: Path | None, *, quick: bool) -> tuple[dict[str, Pixels], list[str]]:
    """Return every third picture of CBSD68 and those of Set14 that have color and room."""
    first, why = published_stills("cbsd68", folder)
    second, why_not = published_stills("set14", folder)
    names = sorted(first)[::_EVERY]
    pictures = {f"cbsd68/{n}": first[n] for n in names}
    if not quick:
        for name, picture in sorted(second.items()):
            colored = bool(np.ptp(picture, axis=2).max() > 0)
            if colored and min(picture.shape[:2]) >= _SIDE + 2 * CONTEXT + 32:
                pictures[f"set14/{name}"] = picture
    kept = list(pictures)[: _QUICK if quick else None]
    return {n: pictures[n] for n in kept}, [*why, *why_not]


def degraded(picture: Pixels, condition: Condition, seed: int) -> tuple[Pixels, Pixels]:
    """Return truth and what is seen of it, both display codes, the rim that blurs in cut off."""
    reach = len(condition.kernel) // 2
    linear = to_linear(picture)
    truth = picture[reach : picture.shape[0] - reach, reach : picture.shape[1] - reach]
    code = to_code(convolved(linear, condition.kernel)).astype(np.float64)
    noise = np.random.default_rng(seed).standard_normal(code.shape)
    seen = np.rint(255.0 * code + condition.noise * noise)
    return truth, (np.clip(seen, 0, 255) / 255).astype(np.float32)


def sharpened(seen: Pixels, operator: DeblurOperator) -> tuple[Pixels, Analysis]:
    """Run the operator on one 8-bit frame, as the engine would; both ends display codes."""
    linear = to_linear(seen)
    facts = SourceFacts(
        sample_type="uint8",
        width=seen.shape[1],
        height=seen.shape[0],
        channels=3,
        is_log_working=False,
    )
    analysis = operator.analyse(lambda _: linear, [1], facts)
    after = run_operator(operator, {1: linear}, 1, facts=facts, analysis=analysis)
    same = after.view(np.uint32) == linear.view(np.uint32)
    return np.where(same, seen, to_code(after)), analysis


def measure_case(
    name: str,
    picture: Pixels,
    condition: Condition,
    operator: DeblurOperator,
    chosen: Sequence[Peer],
) -> Case:
    """Blur one picture and measure everybody on its middle."""
    truth, seen = degraded(picture, condition, _SEED)
    rows, columns = _middle(truth, 0)
    wide = _middle(seen, CONTEXT)
    plain, analysis = sharpened(seen, operator.without_network())
    net = None
    if operator.models():
        net = psnr(truth[rows, columns], sharpened(seen, operator)[0][rows, columns])
    part = np.ascontiguousarray(seen[wide])
    return Case(
        picture=name,
        condition=condition,
        blurred=psnr(truth[rows, columns], seen[rows, columns]),
        classical=psnr(truth[rows, columns], plain[rows, columns]),
        net=net,
        best={p.name: p.best(part, condition.kernel, truth[rows, columns]) for p in chosen},
        sigma=float(str(analysis["sigma"])),
    )


def _middle(pixels: Pixels, more: int) -> tuple[slice, slice]:
    height, width = pixels.shape[:2]
    side = _SIDE // 2 + more
    return (
        slice(height // 2 - side, height // 2 + side),
        slice(width // 2 - side, width // 2 + side),
    )


def condition_rows(cases: Sequence[Case]) -> list[BenchRow]:
    """Return one row a condition: mean PSNR beside the peer that is best in the mean."""
    rows = []
    for title in dict.fromkeys(c.condition.title for c in cases):
        here = [c for c in cases if c.condition.title == title]
        means = {n: float(np.mean([c.best[n][0] for c in here])) for n in here[0].best}
        name = max(means, key=lambda n: means[n])
        settings = [c.best[name][1] for c in here]
        mean, interval = bootstrap_mean([c.ours - c.blurred for c in here])
        touched = [c.sigma for c in here if c.sigma > 0]
        true = deviation_of(here[0].condition.kernel)
        rows.append(
            BenchRow(
                case=title,
                wetgate=float(np.mean([c.ours for c in here])),
                peer=means[name],
                peer_name=f"{name}, told all",
                unit="dB",
                extra={
                    "blurred": float(np.mean([c.blurred for c in here])),
                    "gain": f"{mean:+.2f} ({interval[0]:+.2f} to {interval[1]:+.2f})",
                    "without network": float(np.mean([c.classical for c in here])),
                    **{n: v for n, v in means.items() if n != name},
                    "width found": f"{np.median(touched):.2f} of {true:.2f}" if touched else "",
                    "left alone": f"{len(here) - len(touched)} of {len(here)}",
                },
                note=f"most often {max(settings, key=settings.count)}",
            )
        )
    return rows


def summary_rows(cases: Sequence[Case]) -> list[BenchRow]:
    """Return what the conditions say together, intervals over pictures."""
    rows = []
    goal = [c for c in cases if c.condition.name == "Gaussian 1.5 px"]
    discs = [c for c in cases if c.condition.name.startswith("disc")]
    for name, group in (("Gaussian 1.5 px", goal), ("discs", discs)):
        if group:
            rows.append(
                _gain_row(f"gain over the blurred, {name}", group, lambda c: c.ours - c.blurred)
            )
    if not cases:
        return rows
    rows.append(
        _gain_row(
            "gain over the best peer of each picture", cases, lambda c: c.ours - c.best_peer, 0
        )
    )
    for name in cases[0].best:
        rows.append(
            _gain_row(
                f"gain over {name}, told kernel and strength",
                cases,
                lambda c, n=name: c.ours - c.best[n][0],  # type: ignore[misc]
                0,
            )
        )
    if cases[0].net is not None:
        rows.append(
            _gain_row("gain of the network over none", cases, lambda c: c.ours - c.classical, 0)
        )
    return rows


def _gain_row(
    case: str, cases: Sequence[Case], value: Callable[[Case], float], goal: float = GOAL_DB
) -> BenchRow:
    """Mean over pictures of their means over conditions: pictures are what is independent."""
    names = dict.fromkeys(c.picture for c in cases)
    per = [float(np.mean([value(c) for c in cases if c.picture == n])) for n in names]
    mean, interval = bootstrap_mean(per)
    return BenchRow(
        case=f"{case} ({len(per)} pictures)",
        wetgate=mean,
        interval=interval,
        goal=f">= +{goal:g} dB" if goal else "> 0, interval too",
        reached=mean >= goal if goal else interval[0] > 0,
        unit="dB",
        note=f"worst picture {min(per):+.2f} dB",
    )


def _left_alone(
    pictures: dict[str, Pixels], operator: DeblurOperator, *, quick: bool
) -> list[BenchRow]:
    """Return how many pictures blurred by motion, and how many sharp ones, come back unharmed."""
    rows = []
    plain = operator.without_network()
    for length, degrees in _MOTIONS[:1] if quick else _MOTIONS:
        motion = Condition("motion", motion_psf(length, degrees), 1.0)
        same = said = 0
        for picture in pictures.values():
            _, seen = degraded(picture, motion, _SEED)
            out, analysis = sharpened(seen, plain)
            same += bool(np.array_equal(out, seen))
            said += analysis["verdict"] == "motion"
        rows.append(
            BenchRow(
                case=f"motion of {length:g} px, pictures that come back bit for bit",
                wetgate=float(same),
                goal=f"{len(pictures)}",
                reached=same == len(pictures),
                unit=f"of {len(pictures)}",
                extra={"called motion": float(said)},
            )
        )
    still = 0
    worst, told = np.inf, ""
    sharp = Condition("as published", np.ones((1, 1)), 0.0)
    for name, picture in pictures.items():
        truth, seen = degraded(picture, sharp, _SEED)
        out, analysis = sharpened(seen, plain)
        still += bool(np.array_equal(out, seen))
        if not np.array_equal(out, seen) and psnr(truth, out) < worst:
            worst, told = psnr(truth, out), f"worst change {name}: {words(analysis)}"
    rows.append(
        BenchRow(
            case="pictures as published, that come back bit for bit",
            wetgate=float(still),
            unit=f"of {len(pictures)}",
            note=told,
        )
    )
    return rows
