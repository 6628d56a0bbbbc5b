"""Decide which color space a file is in, from what somebody said, never from habit.

Order: the caller's word; what the file states (ACES flag, color interop id, code points); a file
rule of the config; what the header hints at (chromaticities, DPX transfer, gamma); else refuse.

Source of the order: ASWF Color Interop Forum, "Identifying the Color Space of OpenEXR Files".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from wetgate.color.config import ColorConfig
from wetgate.color.png_tags import PngTags, read_png_tags
from wetgate.color.policy import ColorPolicy, load_policy
from wetgate.model.errors import ColorSpaceUnknown
from wetgate.model.frame import ImageInfo

DecisionSource = Literal[
    "explicit", "aces-container", "interop-id", "file-rule", "header", "chromaticities"
]
Trust = Literal["stated", "rule", "inferred"]

CHROMATICITY_TOLERANCE = 0.001

DPX_TRANSFER_NAMES = (
    "user defined",
    "printing density",
    "linear",
    "logarithmic",
    "unspecified video",
    "SMPTE 274M",
    "ITU-R 709-4",
    "ITU-R 601-5 B or G",
    "ITU-R 601-5 M",
    "NTSC composite",
    "PAL composite",
    "Z linear",
    "Z homogeneous",
    "ADX",
)
"""Words for the DPX transfer byte. Source: SMPTE ST 268-1:2014, table 5A."""

_ACES_FLAGS = ("acesImageContainerFlag", "acesImageContainer")
_CHOICES = ("ACEScg", "Linear Rec.709 (sRGB)", "ACES2065-1", "sRGB Encoded Rec.709 (sRGB)")
_UNSPECIFIED = (0, 2, 3)
"""Code points of ITU-T H.273 that say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceDecision:
    """Which space a file is in, and why.

    Attributes:
        space: canonical OCIO name.
        source: what decided.
        trust: `stated` by a person or the file, by a `rule`, or `inferred` (low trust).
        note: one sentence for the plan and the report.
    """

    space: str
    source: DecisionSource
    trust: Trust
    note: str


@dataclass(frozen=True, slots=True)
class _Case:
    """One question: the file, what it says, the config and the policy that answer."""

    path: Path
    info: ImageInfo
    config: ColorConfig
    policy: ColorPolicy

    @property
    def attributes(self) -> Mapping[str, object]:
        return self.info.header.attributes

    def refuse(self, found: str, choices: tuple[str, ...] = _CHOICES) -> ColorSpaceUnknown:
        names = [self.config.find(choice) for choice in choices]
        listed = " or ".join(f'"{name}"' for name in names if name)
        return ColorSpaceUnknown(
            found, path=self.path, remedy=f"pass --input-space NAME, for example {listed}"
        )

    def decide(
        self, interop_id: str, source: DecisionSource, trust: Trust, note: str
    ) -> SpaceDecision:
        space = self.config.find(interop_id)
        if space is None:
            raise self.refuse(f'{note}, but the config {self.config.name} has no "{interop_id}"')
        return SpaceDecision(space=space, source=source, trust=trust, note=note)


def identify(
    path: Path, info: ImageInfo, config: ColorConfig, *, override: str | None = None
) -> SpaceDecision:
    """Decide the color space of a file.

    Args:
        path: the file; its absolute path goes through the config's rules.
        info: what the reader said of it, attributes by the reader's own names.
        config: names the spaces.
        override: what the user, the recipe or the host says; it always wins.

    Raises:
        ColorSpaceUnknown: when nothing decides, with the choices; when the file states an id that
            the config does not have.
    """
    if override is not None:
        space = config.resolve(override)
        return SpaceDecision(
            space=space, source="explicit", trust="stated", note=f'said to be "{override}"'
        )
    case = _Case(path, info, config, load_policy())
    kind = info.header.format
    for ask in (_interop_statement, _STATEMENTS.get(kind), _file_rule, _HINTS.get(kind)):
        decision = ask(case) if ask is not None else None
        if decision is not None:
            return decision
    raise case.refuse("nothing in the file, its path or the call decides a color space")


def _interop_statement(case: _Case) -> SpaceDecision | None:
    for flag in _ACES_FLAGS:
        if _integer(case.attributes.get(flag)) == 1:
            return case.decide(
                "lin_ap0_scene", "aces-container", "stated", f"the header has {flag} = 1"
            )
    stated = case.attributes.get("colorInteropID")
    if not isinstance(stated, str) or stated in ("", "unknown"):
        return None
    note = f'the header has colorInteropID "{stated}"'
    for candidate in _interop_candidates(stated, case.config.name):
        space = case.config.find(candidate)
        if space is not None:
            return SpaceDecision(space=space, source="interop-id", trust="stated", note=note)
    raise case.refuse(f"{note}, which the config {case.config.name} does not have")


def _interop_candidates(stated: str, config_name: str) -> tuple[str, ...]:
    """Return the id in full, without its leftmost namespace, and as this config's local name."""
    base = stated.rsplit(":", 1)[-1]
    candidates = [stated]
    if ":" in stated:
        candidates.append(stated.split(":", 1)[1])
    return (*candidates, f"{config_name}:local:{base}")


def _file_rule(case: _Case) -> SpaceDecision | None:
    found = case.config.rule_space(case.path.absolute(), case.policy.ignored_words)
    if found is None:
        return None
    space, rule = found
    return SpaceDecision(
        space=space,
        source="file-rule",
        trust="rule",
        note=f'file rule "{rule}" of the config {case.config.name}',
    )


def _chromaticities(case: _Case) -> SpaceDecision | None:
    stated = case.attributes.get("chromaticities")
    if stated is None:
        return None
    name = _match_primaries(stated, case.policy)
    if name is None:
        raise case.refuse(f"the chromaticities {stated} are those of no known color space")
    return case.decide(
        f"lin_{name}_scene", "chromaticities", "inferred", "inferred from chromaticities, low trust"
    )


def _match_primaries(stated: object, policy: ColorPolicy) -> str | None:
    try:
        xy = np.asarray(stated, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    for name, known in policy.chromaticities.items():
        # Half a unit of float32 beyond the tolerance, for values that were stored as such.
        if xy.shape == (8,) and np.abs(xy - known).max() <= CHROMATICITY_TOLERANCE + 1e-7:
            return name
    return None


def _dpx_transfer(case: _Case) -> SpaceDecision | None:
    byte = _integer(case.attributes.get("Transfer"))
    if byte is None:
        return None
    name = DPX_TRANSFER_NAMES[byte] if byte < len(DPX_TRANSFER_NAMES) else "undefined"
    note = f'transfer {byte} ("{name}")'
    if byte in case.policy.dpx_transfer:
        return case.decide(case.policy.dpx_transfer[byte], "header", "stated", note)
    if byte == 13:
        bits = _integer(case.attributes.get("BitDepth"))
        if bits is not None and bits in case.policy.dpx_adx:
            return case.decide(case.policy.dpx_adx[bits], "header", "stated", f"{note}, {bits} bit")
        raise case.refuse(
            f"{note} at {bits} bits decides no color space", tuple(case.policy.dpx_adx.values())
        )
    if byte in case.policy.film_log_transfer:
        raise case.refuse(
            f"{note} means some film log and does not decide a color space",
            case.policy.film_log_choices,
        )
    if byte == 2:
        raise case.refuse(f"{note} does not state the primaries and decides no color space")
    raise case.refuse(
        f"{note} does not decide a color space",
        (*case.policy.film_log_choices, "ocio:itu709_rec709_scene"),
    )


def _cineon(case: _Case) -> SpaceDecision | None:
    raise case.refuse(
        "a Cineon file holds some film log and does not decide a color space",
        case.policy.film_log_choices,
    )


def _movie_tags(case: _Case) -> SpaceDecision | None:
    primaries = _integer(case.attributes.get("color_primaries"))
    transfer = _integer(case.attributes.get("color_trc"))
    return _code_points(case, primaries, transfer)


def _code_points(case: _Case, primaries: int | None, transfer: int | None) -> SpaceDecision | None:
    tagged = [code for code in (primaries, transfer) if code is not None]
    if all(code in _UNSPECIFIED for code in tagged):
        return None
    note = f"color primaries {primaries} and transfer {transfer} (ITU-T H.273)"
    stated = case.policy.cicp.get((primaries or 0, transfer or 0))
    if stated is None:
        raise case.refuse(
            f"{note} are those of no known color space",
            ("g24_rec709_display", "pq_rec2020_display", "hlg_rec2020_display"),
        )
    return case.decide(stated, "header", "stated", note)


def _png_statement(case: _Case) -> SpaceDecision | None:
    tags = read_png_tags(case.path)
    if tags.cicp is not None:
        return _code_points(case, *tags.cicp)
    if tags.icc_name is not None:
        return _profile(case, tags.icc_name)
    if tags.srgb:
        return case.decide("srgb_rec709_scene", "header", "stated", "the file has an sRGB chunk")
    return None


def _png_gamma(case: _Case) -> SpaceDecision | None:
    tags = read_png_tags(case.path)
    if tags.gamma is None or tags.gamma <= 0:
        return None
    note = f"inferred from gAMA {tags.gamma:.5f}{_primaries_note(tags)}, low trust"
    name = "rec709"
    if tags.chromaticities is not None:
        matched = _match_primaries(tags.chromaticities, case.policy)
        if matched is None:
            raise case.refuse("the cHRM chunk holds the chromaticities of no known color space")
        name = matched
    display = 1.0 / tags.gamma
    curve = "lin" if abs(display - 1.0) < 0.01 else f"g{round(display * 10):d}"
    return case.decide(f"{curve}_{name}_scene", "header", "inferred", note)


def _primaries_note(tags: PngTags) -> str:
    return " and cHRM" if tags.chromaticities else ", primaries unstated"


def _tiff_statement(case: _Case) -> SpaceDecision | None:
    profile = case.attributes.get("ICCProfile:profile_description")
    if isinstance(profile, str) and profile:
        return _profile(case, profile)
    if "ICCProfile" in case.attributes:
        return _profile(case, "")
    if _integer(case.attributes.get("Exif:ColorSpace")) == 1:
        return case.decide("srgb_rec709_scene", "header", "stated", "Exif says sRGB")
    return None


def _profile(case: _Case, name: str) -> SpaceDecision:
    note = f'the ICC profile "{name}"'
    if name.lower().startswith("srgb"):
        return case.decide("srgb_rec709_scene", "header", "stated", note)
    raise case.refuse(f"{note} is not read for its color space")


def _integer(value: object) -> int | None:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    return None


_Ask = Callable[[_Case], "SpaceDecision | None"]
_STATEMENTS: Mapping[str, _Ask] = {
    "png": _png_statement,
    "tiff": _tiff_statement,
    "movie": _movie_tags,
}
_HINTS: Mapping[str, _Ask] = {
    "exr": _chromaticities,
    "dpx": _dpx_transfer,
    "cineon": _cineon,
    "png": _png_gamma,
}
