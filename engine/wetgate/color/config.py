"""OpenColorIO configs: names, ids, and lossless conversions. The only user of PyOpenColorIO."""

from __future__ import annotations

import copy
import difflib
import hashlib
import importlib.resources
import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from wetgate.color.nonfinite import convert_finite
from wetgate.color.view import view_table
from wetgate.model.errors import ColorSpaceUnknown, InputError

if TYPE_CHECKING:
    import PyOpenColorIO as ocio

Encoding = Literal[
    "scene-linear",
    "display-linear",
    "log",
    "sdr-video",
    "hdr-video",
    "edr-video",
    "data",
    "unknown",
]
"""OCIO's description of how a space relates code to light; `unknown` where the config is silent."""

DEFAULT_CONFIG = "wetgate-studio-v5.ocio"

_STRIP_PIXELS = 1 << 16
"""Pixels converted at once: OCIO widens a strip to RGBA inside, so this bounds its memory."""

_OVERRIDE = "OCIO_OPTIMIZATION_FLAGS"
_environment_lock = threading.Lock()

_PATH_SEARCH = "ColorSpaceNamePathSearch"
"""OCIO's own name for the rule that looks for color space names in a path."""

_FILE_REFERENCE = re.compile(r"\bsrc: *(\"[^\"]*\"|'[^']*'|[^,}\n]+)")


def data_file(name: str) -> Path:
    """Return the path of a file of the `ocio` folder, in a wheel or in a source tree.

    Raises:
        InputError: when the installation lacks it.
    """
    packaged = importlib.resources.files("wetgate") / "ocio" / name
    candidates = [Path(str(packaged)), Path(__file__).resolve().parents[3] / "ocio" / name]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        f"the installation has no {name}", path=candidates[0], remedy="reinstall wetgate"
    )


class Processor:
    """One conversion between two color spaces. Immutable; any thread may use it."""

    def __init__(self, source: str, target: str, cpu: ocio.CPUProcessor | None) -> None:
        self.source = source
        self.target = target
        self._cpu = cpu

    @property
    def is_identity(self) -> bool:
        """Whether every value comes back with the same bits."""
        return self._cpu is None

    def apply(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert RGB pixels into a new array.

        NaN and Inf never reach the conversion, where one would become an ordinary number or
        spread to its neighbors: they stay, bit for bit, in the channels that had them, and the
        pixel's other channels convert as if those were 0.

        Args:
            pixels: float32 `(..., 3)`, un-clamped, any strides. Not written to.

        Returns:
            The same shape, C order. The same bits whatever the shape, tile or thread.

        Raises:
            ValueError: for another dtype or channel count. Alpha, depth and ids are not color.
        """
        if pixels.dtype != np.float32 or pixels.ndim < 1 or pixels.shape[-1] != 3:
            raise ValueError(
                f"a color conversion takes float32 (..., 3), got {pixels.dtype} {pixels.shape}"
            )
        out = np.array(pixels, dtype=np.float32, order="C", copy=True)
        if self._cpu is not None:
            flat = out.reshape(-1, 3)
            for start in range(0, len(flat), _STRIP_PIXELS):
                convert_finite(flat[start : start + _STRIP_PIXELS], self._cpu.applyRGB)
        return out

    def __repr__(self) -> str:
        return f"Processor({self.source!r} -> {self.target!r})"


class ColorConfig:
    """A parsed OCIO config.

    Attributes:
        name: what the config calls itself, else its file name.
        digest: `sha256:` of the config text and of every file its transforms name.
        path: the file it came from.
    """

    def __init__(self, config: ocio.Config, *, path: Path, digest: str) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._processors: dict[tuple[str, str], Processor] = {}
        self._names = _space_names(config)
        self.name: str = config.getName() or path.name
        self.digest = digest
        self.path = path

    def spaces(self) -> tuple[str, ...]:
        """Return the canonical names of all color spaces, in the config's order."""
        return tuple(self._names)

    def names_of(self, space: str) -> tuple[str, ...]:
        """Return the canonical name and every alias of a space."""
        found = self._space(space)
        return (found.getName(), *found.getAliases())

    def find(self, name: str) -> str | None:
        """Return the canonical name for a name, alias, interop id or role, or None."""
        found = self._config.getColorSpace(name) if name else None
        return None if found is None else cast(str, found.getName())

    def resolve(self, name: str) -> str:
        """Return the canonical name for a name, alias, interop id or role.

        Raises:
            ColorSpaceUnknown: with the nearest names.
        """
        found = self.find(name)
        if found is None:
            nearest = self._nearest(name)
            raise ColorSpaceUnknown(
                f'no color space "{name}" in the config {self.name}',
                expected="one of " + ", ".join(f'"{n}"' for n in nearest) if nearest else None,
                remedy=f"every name stands in {self.path}",
            )
        return found

    def interop_id(self, space: str) -> str | None:
        """Return the published id of a space, or None when the config gives none."""
        return self._space(space).getInteropID() or None

    def is_data(self, space: str) -> bool:
        """Whether a space holds data (depth, ids, masks) that no conversion may touch."""
        return bool(self._space(space).isData())

    def encoding(self, space: str) -> Encoding:
        """Return how a space relates code to light."""
        found = self._space(space)
        if found.isData():
            return "data"
        return cast(Encoding, found.getEncoding() or "unknown")

    def rule_space(
        self, path: Path | str, ignored_words: frozenset[str] = frozenset()
    ) -> tuple[str, str] | None:
        """Return `(space, rule name)` by the config's file rules, None for the default rule.

        OCIO's path search takes a name anywhere in the path, so that "traces" would mean "aces".
        Here the name must stand as a word of its own, name no data space, and be none of
        `ignored_words` (lower case); else the rules after the search decide.
        """
        text = str(path)
        found = _match_rule(self._config, text)
        if found is not None and found[1] == _PATH_SEARCH:
            word = self._space_named_in(text, ignored_words)
            return (word, _PATH_SEARCH) if word else _match_rule(self._without_search(), text)
        return found

    def _space_named_in(self, path: str, ignored_words: frozenset[str]) -> str | None:
        """Return the space whose name stands last, then longest, as a word in the path."""
        text, best = path.lower(), (0, 0, "")
        for space, names in self._names.items():
            for name in {n.lower() for n in names} - ignored_words:
                for match in re.finditer(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text):
                    best = max(best, (match.end(), len(name), space))
        space = best[2]
        return space if space and not self.is_data(space) else None

    def _without_search(self) -> ocio.Config:
        """Return a copy of the config whose rules do not search the path for names."""
        other = copy.deepcopy(self._config)
        rules = other.getFileRules()
        rules.removeRule(rules.getIndexForRule(_PATH_SEARCH))
        other.setFileRules(rules)
        return other

    def processor(self, src: str, dst: str) -> Processor:
        """Return the lossless conversion from `src` to `dst`; made once, then shared.

        Raises:
            ColorSpaceUnknown: for an unknown name, or when one of the two is data.
        """
        source, target = self.resolve(src), self.resolve(dst)
        with self._lock:
            found = self._processors.get((source, target))
            if found is None:
                found = self._make_processor(source, target)
                self._processors[source, target] = found
            return found

    def _make_processor(self, source: str, target: str) -> Processor:
        import PyOpenColorIO as ocio

        if source == target:
            return Processor(source, target, None)
        for space in (source, target):
            if self.is_data(space):
                raise ColorSpaceUnknown(
                    f'"{space}" holds data, which has no color to convert',
                    expected="the same space for input and output",
                )
        try:
            processor = self._config.getProcessor(source, target)
            # The default optimisation replaces log and pow by approximations that cost about
            # 25 times the round-trip accuracy.
            with _own_optimization():
                cpu = processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
        except ocio.Exception as error:
            raise ColorSpaceUnknown(
                f'no conversion from "{source}" to "{target}": {error}', path=self.path
            ) from error
        return Processor(source, target, None if cpu.isNoOp() else cpu)

    def viewer(self, space: str) -> tuple[Processor, str]:
        """Return how the config's first display shows a space, and what that view is called.

        For eyes alone: pictures of scenes go through a table of the view, 65 nodes a side, which
        takes a twentieth of the view's time and is within two codes of 255 of it for muted
        colors; where colors are so pure that the view bends sharply it may be off by some more.

        Raises:
            ColorSpaceUnknown: for an unknown name, or data.
        """
        source = self.resolve(space)
        display: str = self._config.getDefaultDisplay()
        view: str = self._config.getDefaultView(display, source)
        target = f"{display}, {view}"
        with self._lock:
            found = self._processors.get((source, target))
            if found is None:
                if self.is_data(source):
                    raise ColorSpaceUnknown(f'"{source}" holds data, which has no color to show')
                cpu = view_table(self._config, source, display, view, self.encoding(source))
                found = self._processors[source, target] = Processor(source, target, cpu)
            return found, target

    def _space(self, name: str) -> ocio.ColorSpace:
        return self._config.getColorSpace(self.resolve(name))

    def _nearest(self, name: str) -> tuple[str, ...]:
        by_word = {alias.lower(): n for n, aliases in self._names.items() for alias in aliases}
        close = difflib.get_close_matches(name.lower(), by_word, n=6, cutoff=0.5)
        inside = [word for word in by_word if name and name.lower() in word]
        return tuple(dict.fromkeys(by_word[word] for word in [*close, *inside]))[:5]

    def __repr__(self) -> str:
        return f"ColorConfig({self.name!r}, {self.digest[:15]}...)"


def load_config(path: Path | str | None = None) -> ColorConfig:
    """Load an OCIO config.

    Args:
        path: a config file (`.ocio`, `.ocioz`); `"env"` for the one that `$OCIO` names; None for
            wetgate's own, whatever `$OCIO` says.

    Raises:
        InputError: when the file is absent, cannot be parsed or `$OCIO` is not set.
    """
    if path is None:
        return _load(str(data_file(DEFAULT_CONFIG)), None)
    if str(path) == "env":
        named = os.environ.get("OCIO", "")
        if not named:
            raise InputError(
                "$OCIO is not set", remedy="set it, or pass the config's path with --config"
            )
        return load_config(named)
    text = str(path)
    if text.startswith("ocio://"):
        return _load_builtin(text)
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError("no such OCIO config", path=file)
    return _load(str(file.resolve()), file.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load(path: str, _modified: int | None) -> ColorConfig:
    import PyOpenColorIO as ocio

    try:
        config = ocio.Config.CreateFromFile(path)
        config.validate()
    except ocio.Exception as error:
        raise InputError(f"not a usable OCIO config: {error}", path=path) from error
    return ColorConfig(config, path=Path(path), digest=_digest(config, Path(path).read_bytes()))


@lru_cache(maxsize=8)
def _load_builtin(uri: str) -> ColorConfig:
    import PyOpenColorIO as ocio

    name = uri.removeprefix("ocio://")
    if name == "default" or name.endswith("-latest"):
        raise InputError(
            f"{uri} changes its meaning with the library",
            expected="a full name such as ocio://studio-config-v5.0.0_aces-v2.1_ocio-v2.6",
        )
    try:
        config = ocio.Config.CreateFromBuiltinConfig(name)
    except ocio.Exception as error:
        raise InputError(f"no built-in OCIO config {name}: {error}") from error
    return ColorConfig(
        config, path=Path(name), digest=_digest(config, config.serialize().encode("utf-8"))
    )


@contextmanager
def _own_optimization() -> Iterator[None]:
    """Hide the environment variable that would overrule the lossless choice, and so the bits."""
    with _environment_lock:
        overruled = os.environ.pop(_OVERRIDE, None)
        try:
            yield
        finally:
            if overruled is not None:
                os.environ[_OVERRIDE] = overruled


def _match_rule(config: ocio.Config, path: str) -> tuple[str, str] | None:
    if config.filepathOnlyMatchesDefaultRule(path):
        return None
    name, index = config.getColorSpaceFromFilepath(path)
    space = config.getColorSpace(name)
    return (space.getName(), config.getFileRules().getName(index)) if space else None


def _space_names(config: ocio.Config) -> dict[str, tuple[str, ...]]:
    import PyOpenColorIO as ocio

    spaces: Iterable[ocio.ColorSpace] = config.getColorSpaces(
        ocio.SEARCH_REFERENCE_SPACE_ALL, ocio.COLORSPACE_ALL
    )
    return {s.getName(): (s.getName(), *s.getAliases()) for s in spaces}


def _digest(config: ocio.Config, text: bytes) -> str:
    """Hash the config and, resolved in its own context, every LUT that it refers to."""
    import PyOpenColorIO as ocio

    total = hashlib.sha256(text)
    context = config.getCurrentContext()
    for match in sorted(set(_FILE_REFERENCE.findall(config.serialize()))):
        source = match.strip().strip("\"'")
        total.update(source.encode("utf-8"))
        try:
            total.update(Path(context.resolveFileLocation(source)).read_bytes())
        except (ocio.Exception, OSError):
            total.update(b"\0absent")
    return "sha256:" + total.hexdigest()
