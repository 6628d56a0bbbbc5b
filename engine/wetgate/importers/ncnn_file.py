"""Read the two files of an ncnn model: a text of layers and a blob of weights.

Source: the layout of `.param` and `.bin` as documented in ncnn's "param and model file structure"
and "operators" pages. Every number is bounded before it is used, every byte of the weights has to
be taken by a layer, and nothing is executed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wetgate.model.errors import ModelLoadError

MAGIC = "7767517"
_HALF = 0x01306B47
_INT8 = 0x000D4B38
_FLOAT_WITH_TAG = 0x0002C056
_ARRAY_BASE = 23300
_MAX_LAYERS = 20_000
_MAX_BLOBS = 100_000
_MAX_PARAM_BYTES = 16 << 20

Value = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a `.param` file.

    Attributes:
        kind: the layer type, e.g. "Convolution".
        name: its name, for messages.
        inputs, outputs: blob names.
        values: parameters by id; arrays (written with id -23300 - k) under k.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[int, Value] = field(default_factory=dict)

    def number(self, key: int, default: float = 0.0) -> float:
        """Return a scalar parameter.

        Raises:
            ModelLoadError: when the file has an array or a value that is not finite there.
        """
        value = self.values.get(key, default)
        if isinstance(value, tuple) or not math.isfinite(value):
            raise self.wrong(f"parameter {key} is {value!r}", "one finite number")
        return value

    def whole(self, key: int, default: int = 0, *, low: int = 0, high: int = 1 << 30) -> int:
        """Return a whole parameter that lies in `low`-`high`."""
        value = self.number(key, default)
        if value != int(value) or not low <= value <= high:
            raise self.wrong(f"parameter {key} is {value:g}", f"a whole number in {low}-{high}")
        return int(value)

    def array(self, key: int) -> tuple[float, ...]:
        """Return an array parameter, empty when absent."""
        value = self.values.get(key, ())
        return value if isinstance(value, tuple) else (value,)

    def wrong(self, found: str, expected: str | None = None) -> ModelLoadError:
        """Return the error that names this layer."""
        return ModelLoadError(f"ncnn layer {self.kind} {self.name!r}: {found}", expected=expected)


def parse_param(data: bytes) -> tuple[Layer, ...]:
    """Parse a `.param` text into layers in the order of the file.

    Raises:
        ModelLoadError: not such a file, truncated, or beyond the bounds.
    """
    if len(data) > _MAX_PARAM_BYTES:
        raise ModelLoadError(
            f".param file of {len(data)} bytes", expected=f"at most {_MAX_PARAM_BYTES}"
        )
    try:
        lines = [line for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ModelLoadError(
            ".param file that is not text",
            expected=f"the text form of ncnn, first line {MAGIC}",
            remedy="convert a binary .param.bin back with ncnn's tools",
        ) from error
    if not lines or lines[0].strip() != MAGIC:
        raise ModelLoadError(
            f".param file that begins with {lines[0][:40]!r}" if lines else "an empty .param file",
            expected=f"ncnn's text form, first line {MAGIC}",
        )
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(c.isdecimal() for c in counts):
        raise ModelLoadError(".param file without its counts of layers and blobs in line 2")
    layers, blobs = int(counts[0]), int(counts[1])
    if not 0 < layers <= _MAX_LAYERS or not 0 < blobs <= _MAX_BLOBS:
        raise ModelLoadError(
            f".param file that says {layers} layers and {blobs} blobs",
            expected=f"at most {_MAX_LAYERS} and {_MAX_BLOBS}",
        )
    if len(lines) - 2 != layers:
        raise ModelLoadError(
            f".param file with {len(lines) - 2} layer lines",
            expected=f"{layers}, as its second line says",
            remedy="the file is truncated or edited; get it again",
        )
    made = tuple(_parse_layer(line) for line in lines[2:])
    names = [name for layer in made for name in layer.outputs]
    if len(set(names)) != len(names):
        raise ModelLoadError(".param file in which two layers make one blob")
    return made


def _parse_layer(line: str) -> Layer:
    words = line.split()
    try:
        kind, name, inputs, outputs = words[0], words[1], int(words[2]), int(words[3])
        if inputs < 0 or outputs < 0 or len(words) < 4 + inputs + outputs:
            raise ValueError("fewer blob names than counted")
        first = 4 + inputs
        last = first + outputs
        values = dict(_parse_value(word) for word in words[last:])
    except (ValueError, IndexError) as error:
        raise ModelLoadError(
            f".param line {line[:80]!r}: {error}", expected="type name inputs outputs blobs k=v"
        ) from error
    return Layer(kind, name, tuple(words[4:first]), tuple(words[first:last]), values)


def _parse_value(word: str) -> tuple[int, Value]:
    key_text, _, text = word.partition("=")
    key = int(key_text)
    if key > -_ARRAY_BASE:
        return key, float(text)
    count, *rest = text.split(",")
    if int(count) != len(rest):
        raise ValueError(f"array {word[:40]!r} does not hold what it counts")
    return -key - _ARRAY_BASE, tuple(float(v) for v in rest)


class Weights:
    """Take the weights of layer after layer out of a `.bin` file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Return how many bytes no layer has taken yet."""
        return len(self._data) - self._at

    def tagged(self, layer: Layer, count: int) -> NDArray[np.float32]:
        """Take `count` weights that begin with a tag of their type.

        Raises:
            ModelLoadError: truncated, or 8-bit weights.
        """
        tag = int(self._take(layer, 1, np.dtype("<u4"))[0])
        if tag == _HALF:
            values = self._take(layer, count, np.dtype("<f2")).astype(np.float32)
            self._skip_padding()
            return values
        if tag in (0, _FLOAT_WITH_TAG):
            return self._take(layer, count, np.dtype("<f4")).astype(np.float32)
        what = "int8" if tag == _INT8 else "table-quantized"
        raise layer.wrong(f"{what} weights (tag 0x{tag:08X})", "fp32 or fp16")

    def plain(self, layer: Layer, count: int) -> NDArray[np.float32]:
        """Take `count` float32 values without a tag (biases, slopes)."""
        return self._take(layer, count, np.dtype("<f4")).astype(np.float32)

    def finish(self) -> None:
        """Refuse bytes that no layer took.

        Raises:
            ModelLoadError: naming how many are left.
        """
        if self.left:
            raise ModelLoadError(
                f".bin file with {self.left} bytes that no layer takes",
                expected="a .bin and a .param of one model",
            )

    def _take(self, layer: Layer, count: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        size = count * dtype.itemsize
        if size > self.left:
            raise layer.wrong(
                f"asks for {size} bytes of weights, {self.left} are left in the .bin file",
                "a complete .bin of the same model",
            )
        values = np.frombuffer(self._data, dtype, count, self._at)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise layer.wrong("holds weights that are not finite")
        self._at += size
        return values

    def _skip_padding(self) -> None:
        self._at += min(-self._at % 4, self.left)


def topological(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    """Yield the layers, refusing one that reads a blob no earlier layer made."""
    made: set[str] = set()
    for layer in layers:
        for name in layer.inputs:
            if name not in made:
                raise layer.wrong(f"reads blob {name!r}", "a blob that an earlier layer makes")
        made.update(layer.outputs)
        yield layer
