# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what a strip shows, as plain values that a worker thread may hold."""

import os

import bpy

from . import spaces, vse_compat

RENDERED = ("META", "CROSS", "ADD", "SUBTRACT", "ALPHA_OVER", "ALPHA_UNDER", "GAMMA_CROSS")
RENDERED += ("MULTIPLY", "OVER_DROP", "WIPE", "GLOW", "TRANSFORM", "SPEED", "GAUSSIAN_BLUR")
RENDERED += ("COLORMIX",)
WRITTEN = (".exr", ".dpx", ".tif", ".tiff", ".png")
"""What the engine writes; other pictures come back as EXR."""


class Unsuitable(ValueError):
    """A strip that cannot be restored; the message says why and what to do."""


class Source:
    """What is to be restored of one strip.

    Attributes:
        kind: "files" (an image strip), "movie", or "render" (a meta or effect strip, or a movie
            at another speed: rendered to linear EXR by Blender first).
        strip, scene: names. start, end: timeline frames of the result, the end not included.
        files: paths, in the strip's order, each once; of a render: those to be rendered.
        listed: the path of every element of the result, in the strip's order.
        plate, frames: of a movie: its path, and numbers from 1.
        whole: the result has all the elements that the strip has, so it is trimmed like it.
        space: Blender's name of the color space. input_space: what the engine is told of it.
    """

    def __init__(self, kind, scene, strip):
        self.kind = kind
        self.scene = scene.name
        self.strip = strip.name
        self.start = vse_compat.left(strip)
        self.end = vse_compat.right(strip)
        self.files = []
        self.listed = []
        self.plate = None
        self.frames = None
        self.whole = False
        self.space = strip.colorspace_settings.name if kind != "render" else None
        self.input_space = None
        self.config = None
        self.notes = []

    @property
    def count(self):
        """Return how many frames there are to restore."""
        if self.kind == "movie":
            first, last = self.frames.split("-")
            return int(last) - int(first) + 1
        return len(self.files)

    @property
    def suffix(self):
        """Return the suffix of the result where it differs from the source's; None elsewhere."""
        if self.kind == "movie":
            return ".exr"
        found = os.path.splitext(self.files[0])[1].lower()
        if found in WRITTEN:
            return None
        return ".dpx" if found == ".cin" else ".exr"


def describe(scene, strip, settings):
    """Return what is to be restored of a strip.

    Args:
        settings: scope ("STRIPS" or "RANGE"), whole, space_mode ("STRIP", "FILE", "NAME") and
            space_name, as the panel has them.

    Raises:
        Unsuitable: when the strip, or its color space, cannot be restored.
    """
    source = Source(_kind(scene, strip), scene, strip)
    if settings.scope == "RANGE":
        source.start = max(source.start, _first_frame(scene))
        source.end = min(source.end, _last_frame(scene) + 1)
        if source.start >= source.end:
            raise Unsuitable(
                f'"{strip.name}" has no frame in the range '
                f"{_first_frame(scene)}-{_last_frame(scene)}"
            )
    if source.kind == "files":
        _take_files(source, strip, settings)
    elif source.kind == "movie":
        _take_movie(source, strip)
    else:
        _check_alone(scene, strip)
    _take_space(source, settings)
    return source


def file_of(strip, frame):
    """Return the path of the picture that an image strip shows on a timeline frame."""
    element = strip.strip_elem_from_frame(frame)
    if element is None:
        raise Unsuitable(f'"{strip.name}" shows nothing on frame {frame}')
    return element_path(strip, element)


def element_path(strip, element):
    """Return the absolute path of one element of an image strip."""
    return os.path.normpath(os.path.join(bpy.path.abspath(strip.directory), element.filename))


def movie_path(strip):
    """Return the absolute path of the file of a movie strip."""
    return os.path.normpath(bpy.path.abspath(strip.filepath))


def movie_number(strip, frame):
    """Return the number, from 1, of the picture of a movie shown on a timeline frame."""
    index = frame - int(round(vse_compat.content_start(strip)))
    index = min(max(index, 0), strip.frame_duration - 1)
    if strip.use_reverse_frames:
        index = strip.frame_duration - 1 - index
    return index + getattr(strip, "animation_offset_start", 0) + 1


def movie_frame(plate, number):
    """Return how one picture of a movie is named here; no file has that name."""
    return f"{plate}#{number}"


def _kind(scene, strip):
    if strip.type == "IMAGE":
        if vse_compat.is_retimed(strip):
            raise Unsuitable(
                f'"{strip.name}" plays at another speed; restore it at its own, or put it into '
                "a meta strip and restore that"
            )
        return "files"
    if strip.type == "MOVIE":
        return "movie" if _plays_straight(scene, strip) else "render"
    if strip.type in RENDERED:
        return "render"
    raise Unsuitable(
        f'"{strip.name}" is a {strip.type.lower()} strip; image, movie, meta and effect strips '
        "can be restored: make a meta strip of it"
    )


def _plays_straight(scene, strip):
    rate = scene.render.fps / scene.render.fps_base
    same = abs(strip.fps - rate) < 0.01 or not strip.fps
    return same and not vse_compat.is_retimed(strip) and strip.strobe in (0.0, 1.0)


def _take_files(source, strip, settings):
    elements = list(strip.elements)
    if not elements:
        raise Unsuitable(f'"{strip.name}" holds no files')
    source.whole = settings.scope == "STRIPS" and settings.whole
    if not source.whole:
        index = {e.as_pointer(): i for i, e in enumerate(elements)}
        shown = [
            index[strip.strip_elem_from_frame(t).as_pointer()]
            for t in range(source.start, source.end)
        ]
        if strip.strobe > 1.0:
            raise Unsuitable(
                f'"{strip.name}" holds every picture for {strip.strobe:g} frames (strobe); '
                "restore the whole strip"
            )
        elements = elements[min(shown) : max(shown) + 1]
    source.listed = [element_path(strip, e) for e in elements]
    source.files = list(dict.fromkeys(source.listed))
    absent = [f for f in source.files if not os.path.isfile(f)]
    if absent:
        raise Unsuitable(
            f'{len(absent)} of {len(source.files)} files of "{strip.name}" are not there, '
            f"the first is {absent[0]}"
        )


def _take_movie(source, strip):
    source.plate = movie_path(strip)
    if not os.path.isfile(source.plate):
        raise Unsuitable(f'the movie of "{strip.name}" is not there: {source.plate}')
    numbers = [movie_number(strip, t) for t in (source.start, source.end - 1)]
    source.frames = f"{min(numbers)}-{max(numbers)}"
    source.listed = [movie_frame(source.plate, n) for n in range(min(numbers), max(numbers) + 1)]


def _check_alone(scene, strip):
    editor = scene.sequence_editor
    if vse_compat.owner_of(editor, strip) != editor:
        raise Unsuitable(
            f'"{strip.name}" has to be rendered and lies inside of a meta strip; restore '
            "the meta strip, or move it out"
        )


def _take_space(source, settings):
    source.config = spaces.own_config()
    if source.kind == "render":
        # Blender writes EXR in the scene-linear role of whatever config it has.
        source.input_space = "scene_linear" if source.config else "lin_rec709_scene"
    elif settings.space_mode == "NAME":
        if not settings.space_name.strip():
            raise Unsuitable("no color space is named; write one, or take it from the strip")
        source.input_space = settings.space_name.strip()
    elif settings.space_mode == "STRIP":
        try:
            source.input_space = spaces.space_of(source.space)
        except spaces.UnknownSpace as error:
            raise Unsuitable(f'the color space of "{source.strip}": {error}') from error


def _first_frame(scene):
    return scene.frame_preview_start if scene.use_preview_range else scene.frame_start


def _last_frame(scene):
    return scene.frame_preview_end if scene.use_preview_range else scene.frame_end
