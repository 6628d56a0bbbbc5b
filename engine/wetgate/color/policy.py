"""The table of what a file's own tags stand for, read from `ocio/policy.toml`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wetgate.color.config import data_file
from wetgate.model.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = "wetgate.color-policy/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorPolicy:
    """Which interop id a tag stands for; what is absent decides nothing.

    Attributes:
        ignored_words: lower-case words that do not name a space when they stand in a path.
        dpx_transfer: id by DPX transfer byte.
        dpx_adx: id by bits a sample, for transfer byte 13.
        film_log_transfer: transfer bytes that mean "some film log".
        film_log_choices: ids to offer for those.
        cicp: id by (primaries, transfer) of ITU-T H.273.
        chromaticities: CIE xy of red, green, blue, white by the name that ids use ("ap1").
    """

    ignored_words: frozenset[str]
    dpx_transfer: Mapping[int, str]
    dpx_adx: Mapping[int, str]
    film_log_transfer: frozenset[int]
    film_log_choices: tuple[str, ...]
    cicp: Mapping[tuple[int, int], str]
    chromaticities: Mapping[str, tuple[float, ...]]


@lru_cache(maxsize=1)
def load_policy() -> ColorPolicy:
    """Read the policy that ships with wetgate.

    Raises:
        InputError: when the file has another schema.
    """
    path = data_file("policy.toml")
    table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    if table.get("schema") != SCHEMA:
        raise InputError(f"schema {table.get('schema')!r}", path=path, expected=f'"{SCHEMA}"')
    dpx = table["dpx"]
    return ColorPolicy(
        ignored_words=frozenset(table["path"]["ignored_words"]),
        dpx_transfer={int(byte): name for byte, name in dpx["transfer"].items()},
        dpx_adx={int(bits): name for bits, name in dpx["adx"].items()},
        film_log_transfer=frozenset(dpx["film_log"]["transfer"]),
        film_log_choices=tuple(dpx["film_log"]["choices"]),
        cicp={_pair(key): name for key, name in table["cicp"].items()},
        chromaticities={name: tuple(xy) for name, xy in table["chromaticities"].items()},
    )


def _pair(key: str) -> tuple[int, int]:
    primaries, transfer = key.split("/")
    return int(primaries), int(transfer)
