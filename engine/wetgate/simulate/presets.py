"""Named damage, for the command line and for benches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from wetgate.model.errors import UsageError
from wetgate.simulate.dirt import DirtSpec
from wetgate.simulate.film import GrainSpec
from wetgate.simulate.spec import DamageSpec
from wetgate.simulate.weave import WeaveSpec


def _film_print(seed: int) -> DamageSpec:
    return DamageSpec(seed=seed, weave=WeaveSpec(), grain=GrainSpec(), dirt=DirtSpec())


def _film_grain(seed: int) -> DamageSpec:
    return DamageSpec(seed=seed, grain=GrainSpec())


def _white(sigma: float, *, clipped: bool) -> Callable[[int], DamageSpec]:
    def build(seed: int) -> DamageSpec:
        bits = 8 if clipped else None
        return DamageSpec(seed=seed, encoding="as-is", noise_sigma=sigma / 255, bits=bits)

    return build


PRESETS: Mapping[str, Callable[[int], DamageSpec]] = MappingProxyType(
    {
        "film-print": _film_print,
        "film-grain": _film_grain,
        **{f"awgn-{s}": _white(s, clipped=True) for s in (10, 20, 40)},
        **{f"awgn-{s}-float": _white(s, clipped=False) for s in (10, 20, 40)},
    }
)
"""Preset name -> spec for a seed. `awgn-N` has a standard deviation of N/255 and is rounded to
8 bits, which clips it; `awgn-N-float` is neither rounded nor clipped."""


def preset(name: str, seed: int) -> DamageSpec:
    """Return the damage of a preset.

    Raises:
        UsageError: for an unknown name.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}", expected=f"one of {', '.join(PRESETS)}")
    return PRESETS[name](seed)
