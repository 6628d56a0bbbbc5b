"""Decide how frames are written: format, color space, and what their headers say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wetgate.io.formats import check_writable, format_of_suffix
from wetgate.io.options import WriteOptions
from wetgate.io.sequence import FrameSequence
from wetgate.model.errors import UsageError
from wetgate.model.version import __version__
from wetgate.recipe import Recipe
from wetgate.render.encoding import Encoding, OutputSpace, legal_bits
from wetgate.render.shelf import alpha_channel, color_channels
from wetgate.render.source import SourceClip

if TYPE_CHECKING:
    from wetgate.color.config import ColorConfig


def is_premultiplied(clip: SourceClip) -> bool:
    """Whether colors come multiplied with alpha."""
    return clip.info.header.format == "exr" and alpha_channel(clip.info.channels) is not None


def output_space_of(recipe: Recipe, clip: SourceClip) -> OutputSpace | None:
    """Return the conversion of the whole picture that a recipe asks for; None for none.

    Raises:
        UsageError: the clip has no color to convert.
    """
    config = clip.facts.config
    if recipe.output_space == "same-as-input" or config is None:
        return None
    name = config.resolve(recipe.output_space)
    processor = config.processor(clip.color_space, name)
    if name == clip.color_space:
        return None
    if len(color_channels(clip.info.channels)) != 3:
        raise UsageError(
            f"a clip with the channels {', '.join(clip.info.channels)} has no color to convert",
            expected="R, G and B",
        )
    legal = recipe.code_range == "legal"
    return OutputSpace(
        name=name,
        encoding=Encoding(
            forward=None if processor.is_identity else processor,
            premultiplied=is_premultiplied(clip),
            legal_bits=legal_bits(clip.info.sample_type) if legal else None,
        ),
    )


def write_options_of(
    clip: SourceClip,
    target: FrameSequence,
    output_space: OutputSpace | None,
    config: ColorConfig | None,
    recipe: Recipe,
) -> tuple[WriteOptions, str]:
    """Return how every frame is written, and in which format; raises `FormatNotWritten`."""
    source_format = clip.info.header.format
    asked = format_of_suffix(Path(target.name(0))) or source_format
    check_writable(asked, target.directory / target.pattern)
    interop = None
    if config is not None and output_space is not None:
        interop = config.interop_id(output_space.name)
    # A recipe that does nothing leaves nothing behind, not even its name.
    does_something = bool(recipe.steps) or output_space is not None
    options = WriteOptions(
        format=None if asked == source_format else asked,
        interop_id=interop,
        provenance={"recipe": recipe.name, "version": __version__} if does_something else {},
    )
    return options, asked
