"""The card of a model package: every fact that decides how a network may be used.

JSON, schema `wetgate.model/1`. What a reader does not know it refuses: a card that says more
than we understand may say that we are about to use it wrongly.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from wetgate.model.errors import ModelLoadError, UsageError

SCHEMA = "wetgate.model/1"
CARD_NAME = "card.json"

Task = Literal[
    "denoise",
    "denoise-temporal",
    "deartifact",
    "upscale",
    "denoise-upscale",
    "deblur",
    "dirt",
    "generic",
]
TASKS: tuple[str, ...] = get_args(Task)

WEIGHT_SUFFIXES = (".onnx", ".safetensors")
"""What weights may be kept in. Neither form can hold code."""
FILE_SUFFIXES = (*WEIGHT_SUFFIXES, ".md", ".txt", ".json", ".png")

NAME_WORDS = "1 to 64 of a-z, 0-9, '.', '_', '-', a letter or digit at either end"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecord:
    """One file, or one generator, that a network was trained on.

    Attributes:
        file: its name, or what was generated in words.
        origin: the package or the program it comes from.
        licence: SPDX name where there is one.
        author: whom to name.
        sha256: of the file; empty for what is generated.
        use: "train" or "validate".
    """

    file: str
    origin: str = ""
    licence: str = ""
    author: str = ""
    sha256: str = ""
    use: str = "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRecord:
    """One measured figure beside the same figure of the classical twin.

    Attributes:
        data: what it was measured on. metric: name with unit, e.g. "PSNR dB".
        value: of the network. twin, twin_value: who stands beside it, and its figure.
        command: how to measure it again.
    """

    data: str
    metric: str
    value: float
    twin: str = ""
    twin_value: float | None = None
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """How the weights were made; empty for weights that came from elsewhere.

    Attributes:
        recipe: name of the training recipe. seed, steps: of the run.
        machine: processor in words. seconds: wall time.
        notes: whatever else decides the result.
    """

    recipe: str = ""
    seed: int = 0
    steps: int = 0
    machine: str = ""
    seconds: float = 0.0
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """Facts of one network.

    Attributes:
        name: letters a-z, digits, `.`, `_`, `-`; the folder of the package has this name.
        version: of the weights; another version is another result.
        task: the kind of work; decides which operator may run it.
        architecture: in words that tell the graph, e.g. "unet-2 width 32".
        parameters: number of weights and biases.
        scale: output size / input size, a whole number.
        temporal_radius: frames either side among the inputs.
        halo: radius of the receptive field in input px, any size slack included.
        size_multiple: height and width that the graph takes are multiples of this.
        inputs, outputs: names of the planes in order, e.g. "base.r", "noisy.r", "sigma".
        color_encoding: what the planes are encoded in, in words.
        provenance: class of what it makes (5: inferred by a network).
        generative: whether it invents detail that the input does not hold.
        precision: "fp32", or "int8" for a quantised graph (QDQ).
        training_data: one record per file.
        licence: SPDX name. commercial: whether commercial use is allowed.
        files: name of every file of the package beside the card -> SHA-256.
        origin: where it comes from, e.g. package and version.
        options: further facts that an operator reads, JSON scalars (value ranges, quality names).
    """

    name: str
    version: int
    task: Task
    architecture: str
    parameters: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    files: Mapping[str, str]
    licence: str
    commercial: bool
    scale: int = 1
    temporal_radius: int = 0
    halo: int = 0
    size_multiple: int = 1
    color_encoding: str = "the working encoding of the operator"
    provenance: int = 5
    generative: bool = False
    precision: Literal["fp32", "int8"] = "fp32"
    description: str = ""
    training: TrainingRecord = field(default_factory=TrainingRecord)
    training_data: tuple[DataRecord, ...] = ()
    quality: tuple[QualityRecord, ...] = ()
    origin: str = ""
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _bad(f"name {self.name!r}", NAME_WORDS, "choose another name")
        if self.task not in TASKS:
            raise _bad(f"task {self.task!r}", f"one of {', '.join(TASKS)}")
        for name, least in (
            ("version", 1),
            ("parameters", 0),
            ("scale", 1),
            ("temporal_radius", 0),
            ("halo", 0),
            ("size_multiple", 1),
        ):
            if getattr(self, name) < least:
                raise _bad(f"{name} {getattr(self, name)}", f"{least} or more")
        if not 0 <= self.provenance <= 5:
            raise _bad(f"provenance {self.provenance}", "0 to 5")
        if self.precision not in ("fp32", "int8"):
            raise _bad(f"precision {self.precision!r}", "fp32 or int8")
        if not self.inputs or not self.outputs:
            raise _bad("no names of input or output planes", "one name per plane")
        if not any(name.endswith(WEIGHT_SUFFIXES) for name in self.files):
            raise _bad("no weights among the files", "one .onnx or .safetensors file")
        for name, digest in self.files.items():
            if not _FILE.fullmatch(name) or not name.endswith(FILE_SUFFIXES) or name == CARD_NAME:
                raise _bad(f"file {name!r}", f"a plain name that ends in {' '.join(FILE_SUFFIXES)}")
            if not _SHA256.fullmatch(digest):
                raise _bad(f"SHA-256 {digest!r} of {name}", "64 hexadecimal digits")

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical card; covers the weights through their own SHA-256."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types, `schema` first."""
        return {"schema": SCHEMA, **_plain(self)}

    def to_json(self) -> str:
        """Return indented JSON text with a final newline."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelCard:
        """Read a card.

        Raises:
            ModelLoadError: not JSON, another schema, an unknown key, a key that is missing or of
                the wrong type, or a value that makes no sense.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad("not JSON", "a model card") from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            found = document.get("schema") if isinstance(document, dict) else document
            raise _bad(f"schema {found!r}", SCHEMA, "it may need a newer wetgate")
        del document["schema"]
        card = _read(cls, document, "card")
        assert isinstance(card, cls)
        return card


def check_name(name: str) -> None:
    """Refuse a name that somebody chose for a model and that no model may have.

    Raises:
        UsageError: naming what it may be made of.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name for a model", expected=NAME_WORDS)


def _bad(found: str, expected: str, remedy: str | None = None) -> ModelLoadError:
    return ModelLoadError(f"model card: {found}", expected=expected, remedy=remedy)


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _read(kind: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the annotated type `kind`, or say where it is something else."""
    if is_dataclass(kind):
        return _read_record(kind, value, where)
    origin, inner = typing.get_origin(kind), get_args(kind)
    if origin is Literal:
        if value in inner and not isinstance(value, bool):
            return value
        raise _bad(f"{where} = {value!r}", f"one of {', '.join(map(str, inner))}")
    if origin is tuple:
        if not isinstance(value, list):
            raise _bad(f"{where} = {value!r}", "a list")
        return tuple(_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _bad(f"{where} = {value!r}", "an object")
        return {key: _read(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    allowed = inner if origin in (types.UnionType, typing.Union) else (kind,)
    return _read_scalar(allowed, value, where)


def _read_scalar(allowed: Sequence[Any], value: Any, where: str) -> Any:
    if type(value) in allowed or (value is None and type(None) in allowed):
        if isinstance(value, float) and not math.isfinite(value):
            raise _bad(f"{where} = {value}", "a finite number")
        # Cards of others are printed: nothing in them may steer a terminal.
        if isinstance(value, str) and _CONTROL.search(value):
            raise _bad(f"{where} = {value!r}", "text without control characters")
        return value
    if float in allowed and type(value) is int:
        return float(value)
    names = " or ".join("null" if k is type(None) else k.__name__ for k in allowed)
    raise _bad(f"{where} = {value!r}", names)


def _read_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _bad(f"{where} = {value!r}", "an object")
    known = {f.name: f for f in fields(kind)}
    for key in value:
        if key not in known:
            import difflib

            close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
            remedy = f"did you mean {close[0]!r}?" if close else "it may need a newer wetgate"
            raise _bad(f"unknown key {where}.{key}", f"one of {', '.join(known)}", remedy)
    absent = [
        name
        for name, f in known.items()
        if f.default is MISSING and f.default_factory is MISSING and name not in value
    ]
    if absent:
        raise _bad(f"{where} lacks {', '.join(absent)}", "every required key")
    hints = _hints(kind)
    return kind(**{k: _read(hints[k], v, f"{where}.{k}") for k, v in value.items()})


@lru_cache(maxsize=16)
def _hints(kind: type) -> Mapping[str, Any]:
    """Return the types of a record's fields; resolved once, they take longer than a card."""
    return typing.get_type_hints(kind)
