"""Named damage, for the command line, for benches and for training.

`DEFECT-LEVEL` has one defect at "light", "medium" or "heavy" and nothing else; the mixtures have
what a print or a tape of a kind has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from wetgate.model.errors import UsageError
from wetgate.simulate import action
from wetgate.simulate.codec import CodecSpec
from wetgate.simulate.dirt import DirtSpec
from wetgate.simulate.dirt_shapes import overlay_classes
from wetgate.simulate.fade import FadeSpec
from wetgate.simulate.film import GrainSpec
from wetgate.simulate.flicker import FlickerSpec
from wetgate.simulate.lens import LensSpec
from wetgate.simulate.scanner import ScannerSpec
from wetgate.simulate.scratches import ScratchSpec
from wetgate.simulate.sensor import SensorSpec
from wetgate.simulate.spec import DamageSpec
from wetgate.simulate.telecine import TelecineSpec
from wetgate.simulate.tone import ToneSpec
from wetgate.simulate.weave import WeaveSpec

Build = Callable[[int], DamageSpec]
LEVELS = ("light", "medium", "heavy")

_OPACITY = (0.3, 1.0)
_OVERLAYS = 1.5

# One defect at three levels: the field of the spec, and its value at each.
_DEFECTS: Mapping[str, tuple[str, tuple[Any, Any, Any]]] = MappingProxyType(
    {
        "lens": (
            "lens",
            (
                LensSpec(airy=1.0, aberration=0.4, corner=1.4),
                LensSpec(airy=1.4, defocus=1.2, aberration=0.5, corner=1.6),
                LensSpec(airy=1.8, defocus=2.6, aberration=0.8, corner=1.8),
            ),
        ),
        "grain": (
            "grain",
            (
                GrainSpec(granularity=0.022, floor=0.004, radius=0.6),
                GrainSpec(radius=0.6, disk=0.7),
                GrainSpec(granularity=0.07, floor=0.009, radius=0.7, disk=1.2),
            ),
        ),
        "fade": (
            "fade",
            (
                FadeSpec(keep=(0.82, 0.97, 0.9), stain=(0.0, 0.01, 0.03)),
                FadeSpec(uneven=0.2),
                FadeSpec(keep=(0.3, 0.85, 0.5), stain=(0.01, 0.04, 0.14), uneven=0.5),
            ),
        ),
        "dirt": (
            "dirt",
            (
                DirtSpec(specks=4, hairs=0.1, fibers=0.1, opacity=_OPACITY),
                DirtSpec(
                    specks=12, hairs=0.3, fibers=0.6, blotches=0.3, clusters=0.3, opacity=_OPACITY
                ),
                DirtSpec(
                    specks=40, hairs=1.0, fibers=2.5, blotches=1.5, clusters=1.5, opacity=_OPACITY
                ),
            ),
        ),
        "scratches": (
            "scratches",
            (
                ScratchSpec(count=0.8, strength=(0.02, 0.06), lost_share=0.0),
                ScratchSpec(count=2.5),
                ScratchSpec(count=8.0, strength=(0.04, 0.2), width=(0.5, 2.2), lost_share=0.25),
            ),
        ),
        "flicker": (
            "flicker",
            (
                FlickerSpec(gain=0.03, gain_jitter=0.015, gamma=0.008),
                FlickerSpec(gain=0.08, gain_jitter=0.04, gamma=0.02, patches=3),
                FlickerSpec(gain=0.2, gain_jitter=0.1, gamma=0.05, patches=6, patch_gain=0.2),
            ),
        ),
        "weave": (
            "weave",
            (
                WeaveSpec(drift=(0.3, 0.4), jitter=(0.06, 0.1)),
                WeaveSpec(rotation=0.03, rotation_jitter=0.01, flex=0.12),
                WeaveSpec(
                    drift=(1.4, 2.0),
                    jitter=(0.4, 0.6),
                    rotation=0.1,
                    rotation_jitter=0.03,
                    flex=0.5,
                ),
            ),
        ),
        "sensor": (
            "sensor",
            (
                SensorSpec(full_well=60_000, read=6),
                SensorSpec(full_well=15_000, read=9, row=2, dsnu=4, prnu=0.004),
                SensorSpec(full_well=4_000, read=14, row=5, dsnu=9, prnu=0.012),
            ),
        ),
    }
)
_CODECS: Mapping[str, tuple[CodecSpec, CodecSpec, CodecSpec]] = MappingProxyType(
    {
        "h264": (CodecSpec(crf=23), CodecSpec(crf=32), CodecSpec(crf=40, preset="veryfast")),
        "mpeg2": (
            CodecSpec(codec="mpeg2", qscale=4),
            CodecSpec(codec="mpeg2", qscale=10),
            CodecSpec(codec="mpeg2", qscale=22, generations=2),
        ),
        "jpeg": (
            CodecSpec(codec="jpeg", quality=75),
            CodecSpec(codec="jpeg", quality=40),
            CodecSpec(codec="jpeg", quality=15, generations=2),
        ),
    }
)


def _film_print(seed: int) -> DamageSpec:
    return DamageSpec(seed=seed, weave=WeaveSpec(), grain=GrainSpec(), dirt=DirtSpec())


def _film_grain(seed: int) -> DamageSpec:
    return DamageSpec(seed=seed, grain=GrainSpec())


def _print_1950s(seed: int) -> DamageSpec:
    """Return a worn color print, scanned at 10-bit log."""
    return DamageSpec(
        seed=seed,
        lens=LensSpec(airy=0.9, aberration=0.5, corner=1.7),
        tone=ToneSpec(),
        grain=GrainSpec(
            granularity=0.032, radius=0.65, disk=0.9, correlation=0.35, density="print"
        ),
        fade=FadeSpec(uneven=0.25),
        dirt=DirtSpec(
            specks=14,
            hairs=0.4,
            fibers=0.8,
            blotches=0.4,
            clusters=0.5,
            opacity=_OPACITY,
            bright_share=0.25,
        ),
        scratches=ScratchSpec(count=2.5),
        flicker=FlickerSpec(gain=0.07, gain_jitter=0.04, gamma=0.02, patches=3),
        weave=WeaveSpec(rotation=0.03, rotation_jitter=0.01, flex=0.15),
        sensor=SensorSpec(full_well=30_000, read=8, row=1.5, dsnu=3, prnu=0.003, film="print"),
        scanner=ScannerSpec(blur=(0.45, 0.45), sharpen=0.3),
    )


def _vhs_h264(seed: int) -> DamageSpec:
    """Return a tape, captured and compressed hard."""
    return DamageSpec(
        seed=seed,
        encoding="video",
        lens=LensSpec(airy=1.0, aberration=0.5, corner=1.3),
        flicker=FlickerSpec(gain=0.01, gain_jitter=0.008, gamma=0.0),
        weave=WeaveSpec(drift=(0.1, 0.05), jitter=(0.08, 0.04), memory=0.5),
        sensor=SensorSpec(full_well=1_800, read=9, row=4),
        scanner=ScannerSpec(
            blur=(1.3, 0.45),
            sharpen=0.7,
            sharpen_radius=1.6,
            chroma_blur=(4.0, 1.0),
            chroma_shift=1.5,
        ),
        bits=8,
        codec=CodecSpec(crf=31, preset="veryfast"),
    )


def _white(sigma: float, *, clipped: bool) -> Build:
    def build(seed: int) -> DamageSpec:
        bits = 8 if clipped else None
        return DamageSpec(seed=seed, encoding="as-is", noise_sigma=sigma / 255, bits=bits)

    return build


def _one(field: str, value: object) -> Build:
    return lambda seed: DamageSpec(seed=seed, **{field: value})  # type: ignore[arg-type]


def _coded(codec: CodecSpec) -> Build:
    return lambda seed: DamageSpec(seed=seed, encoding="video", bits=8, codec=codec)


def _fields(telecine: TelecineSpec) -> Build:
    return lambda seed: DamageSpec(seed=seed, encoding="video", bits=8, telecine=telecine)


def _acted(kind: action.Kind) -> Build:
    """Return clean film with content that looks like dirt, and no dirt."""
    return lambda seed: DamageSpec(
        seed=seed, action=action.ActionSpec(kind=kind), grain=GrainSpec()
    )


PRESETS: Mapping[str, Build] = MappingProxyType(
    {
        "film-print": _film_print,
        "film-grain": _film_grain,
        "1950s-print": _print_1950s,
        "vhs-h264": _vhs_h264,
        **{
            f"{name}-{level}": _one(field, value)
            for name, (field, values) in _DEFECTS.items()
            for level, value in zip(LEVELS, values, strict=True)
        },
        **{
            f"{name}-{level}": _coded(codec)
            for name, codecs in _CODECS.items()
            for level, codec in zip(LEVELS, codecs, strict=True)
        },
        "telecine": _fields(TelecineSpec()),
        "interlaced": _fields(TelecineSpec(pattern="interlace")),
        **{f"action-{kind}": _acted(kind) for kind in get_args(action.Kind)},
        **{f"awgn-{s}": _white(s, clipped=True) for s in (10, 20, 40)},
        **{f"awgn-{s}-float": _white(s, clipped=False) for s in (10, 20, 40)},
    }
)
"""Preset name -> spec for a seed. `awgn-N` has a standard deviation of N/255 and is rounded to
8 bits, which clips it; `awgn-N-float` is neither rounded nor clipped. `action-KIND` has grain and
no damage else: nothing on it may be taken for dirt."""


def preset(name: str, seed: int) -> DamageSpec:
    """Return the damage of a preset.

    Raises:
        UsageError: for an unknown name.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", expected=f"one of {', '.join(PRESETS)}")
    return PRESETS[name](seed)


def with_overlays(spec: DamageSpec, folder: Path) -> DamageSpec:
    """Return the damage with pictures of film damage on top of its dirt.

    Raises:
        UsageError: when `folder` holds no directories of PNG files.
    """
    overlay_classes(folder)
    dirt = spec.dirt or DirtSpec(specks=0, hairs=0)
    laid = replace(dirt, overlays=folder, overlay_count=dirt.overlay_count or _OVERLAYS)
    return replace(spec, dirt=laid)
