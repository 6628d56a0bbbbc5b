"""Look into a PyTorch checkpoint without loading it: what would it call, what does it unfold to?

A checkpoint is a pickle, in a zip or bare, and a pickle is a program. Nothing here runs it: its
instructions are listed, and one that names anything but the makers of tensors and plain containers
condemns the file, whatever the loader would think of it.
"""

from __future__ import annotations

import io
import pickletools
import zipfile
from pathlib import Path
from typing import BinaryIO

from wetgate.model.errors import ModelLoadError

_PLAIN_NAMES = frozenset(
    [
        *(f"collections {n}" for n in ("OrderedDict", "defaultdict", "Counter")),
        *(f"builtins {n}" for n in ("set", "frozenset", "dict", "list", "tuple", "bytearray")),
        *(f"numpy{c}multiarray {n}" for c in (".core.", "._core.") for n in ("scalar",)),
        *("_codecs encode", "numpy dtype", "__builtin__ set"),
    ]
)


def vet_checkpoint(path: Path) -> None:
    """Refuse a checkpoint that holds more than weights.

    Raises:
        ModelLoadError: code in the file, compressed or overlapping parts, damage.
    """
    with open(path, "rb") as file:
        head = file.read(16)
    try:
        if head[:4] == b"PK\x03\x04":
            _vet_zip(path)
        elif head[:1] == b"\x80":
            _vet_names(_names_of_stream(path))
        elif head[8:9] != b"{":
            raise ModelLoadError(
                "no checkpoint", expected="the zip or pickle of torch.save, or safetensors"
            )
    except (ModelLoadError, MemoryError):
        raise
    except Exception as error:  # whatever a damaged zip or pickle trips over
        raise unreadable(error) from error


def unreadable(error: Exception) -> ModelLoadError:
    """Return the error of a checkpoint in which a reader got lost."""
    return ModelLoadError(
        f"a checkpoint that cannot be read: {' '.join(str(error).split())[:300]}",
        remedy="the file is truncated, damaged or no checkpoint",
    )


def _vet_zip(path: Path) -> None:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any("/code/" in p.filename or p.filename.endswith("constants.pkl") for p in parts):
            raise ModelLoadError(
                "a TorchScript archive: it holds a program",
                expected="the weights alone",
                remedy="save the state_dict of the model with torch.save or as safetensors",
            )
        total = sum(p.file_size for p in parts)
        if total > size or any(p.compress_type != zipfile.ZIP_STORED for p in parts):
            raise ModelLoadError(
                f"a zip of {size} bytes that unfolds to {total}",
                expected="parts stored as they are, as torch.save does",
            )
        pickles = [p for p in parts if p.filename.endswith(".pkl")]
        if len(pickles) != 1:
            raise ModelLoadError(f"a zip with {len(pickles)} pickles", expected="one data.pkl")
        _vet_names(names_in(io.BytesIO(archive.read(pickles[0]))))


def _names_of_stream(path: Path) -> set[str]:
    """Return the names that the pickles at the start of an old checkpoint call."""
    names: set[str] = set()
    # In memory: a length that lies then ends at the end, where a file would ask for all of it.
    stream = io.BytesIO(path.read_bytes())
    for _ in range(5):
        if stream.read(1) != b"\x80":
            break
        stream.seek(-1, io.SEEK_CUR)
        names |= names_in(stream)
    return names


def names_in(stream: BinaryIO) -> set[str]:
    """Return "module name" of everything one pickle imports, without loading it."""
    names: set[str] = set()
    pushed: list[str] = []
    memo: dict[int, str] = {}
    for code, argument, _ in pickletools.genops(stream):
        if code.name in ("GLOBAL", "INST"):
            names.add(str(argument))
        elif code.name == "STACK_GLOBAL":
            names.add(" ".join(pushed[-2:]))
        elif code.name == "MEMOIZE":
            memo[len(memo)] = pushed[-1] if pushed else ""
        elif code.name.endswith("PUT"):
            memo[int(argument or 0)] = pushed[-1] if pushed else ""
        elif code.name.endswith("GET"):
            pushed.append(memo.get(int(argument or 0), ""))
        elif code.stack_after:
            pushed.append(argument if isinstance(argument, str) else "")
    return names


def _vet_names(names: set[str]) -> None:
    """Refuse a pickle that calls anything but the makers of tensors and plain containers."""
    others = names - _PLAIN_NAMES
    bad = sorted(n for n in others if not n.startswith(("torch.", "torch ")))
    if bad:
        raise ModelLoadError(
            f"a checkpoint that would call {', '.join(n.replace(' ', '.') for n in bad[:5])}: "
            "code, not weights",
            expected="tensors in dictionaries",
            remedy="do not open this file with anything else; ask its author for safetensors",
        )
