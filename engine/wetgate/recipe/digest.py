"""Canonical JSON and digests of values: the same facts always give the same text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal


def canonical_json(value: object) -> str:
    """Write a JSON value with sorted keys, no spaces and one spelling per number.

    Follows RFC 8785 for what recipes, analyses and manifests hold: keys sorted by UTF-16 code
    units, shortest round-trip numbers, whole floats written as integers, no escape that is not
    needed. Mappings and sequences of any kind are accepted.

    Raises:
        ValueError: for NaN, infinities and values that JSON does not have.

    Source: RFC 8785, sections 3.2.2 and 3.2.3.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        keys = sorted(value, key=_utf16)
        return "{" + ",".join(f"{canonical_json(k)}:{canonical_json(value[k])}" for k in keys) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ",".join(canonical_json(item) for item in value) + "]"
    raise ValueError(f"JSON has no {type(value).__name__}: {value!r}")


def digest_of(value: object) -> str:
    """Return `xxh128:<hex>` of the canonical JSON of a value."""
    # A late import: recipes are parsed by tools that never need a digest.
    import xxhash

    text = canonical_json(value).encode("utf-8", "surrogatepass")
    return f"xxh128:{xxhash.xxh3_128_hexdigest(text)}"


def _utf16(key: object) -> bytes:
    if not isinstance(key, str):
        raise ValueError(f"JSON keys are strings, got {key!r}")
    return key.encode("utf-16-be", "surrogatepass")


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    if value == 0:
        return "0"
    # Python finds the same shortest digits as ECMAScript but places the point by other rules.
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)
    if 0 < point <= 21:
        text = text.ljust(point, "0")
        text = text if len(text) == point else f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        mantissa = text if len(text) == 1 else f"{text[0]}.{text[1:]}"
        text = f"{mantissa}e{point - 1:+d}"
    return f"-{text}" if sign else text
