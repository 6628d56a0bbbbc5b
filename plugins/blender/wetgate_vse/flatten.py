# SPDX-License-Identifier: GPL-3.0-or-later
"""Render a meta or effect strip alone to linear float EXR, one frame a call.

Every setting is put back before the call returns, so nothing that an artist does between two
frames, saving included, meets the settings of a render.
"""

import os
from contextlib import contextmanager

import bpy

from . import vse_compat


def paths_of(scene, source, folder):
    """Return the files that a strip is going to be rendered to, by timeline frame."""
    stem = bpy.path.clean_name(source.strip)
    return {t: os.path.join(folder, f"{stem}.{t:06d}.exr") for t in _frames(source)}


def render_frame(scene, source, frame, path):
    """Render one frame of a strip, alone, to a linear 32-bit EXR.

    Raises:
        RuntimeError: when the strip is gone or Blender does not write the file.
    """
    editor = scene.sequence_editor
    strip = next((s for s in vse_compat.strips_of(editor) if s.name == source.strip), None)
    if strip is None:
        raise RuntimeError(f'the strip "{source.strip}" is gone')
    with _alone(editor, strip), _linear_exr(scene, path):
        before = scene.frame_current
        try:
            scene.frame_set(frame)
            bpy.ops.render.render(write_still=True, scene=scene.name)
        finally:
            scene.frame_set(before)
    if not os.path.isfile(path):
        raise RuntimeError(f"Blender has not written {path}")


def _frames(source):
    return range(source.start, source.end)


@contextmanager
def _kept(pairs):
    """Put attributes back, whatever happens: (object, name, value meanwhile).

    All are read before the first is set: a file format changes which depths there are. For the
    same reason they are put back in the order of setting.
    """
    there = [(owner, name, value) for owner, name, value in pairs if hasattr(owner, name)]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in there]
    try:
        for owner, name, value in there:
            setattr(owner, name, value)
        yield
    finally:
        lost = [name for owner, name, value in before if not _put_back(owner, name, value)]
    if lost:
        raise RuntimeError("settings of the render could not be put back: " + ", ".join(lost))


def _put_back(owner, name, value):
    try:
        setattr(owner, name, value)
    except (AttributeError, TypeError, ValueError):
        return False
    return True


@contextmanager
def _alone(editor, strip):
    others = [s for s in vse_compat.strips_of(editor) if s != strip and hasattr(s, "mute")]
    meanwhile = [(s, "mute", True) for s in others]
    meanwhile += [(strip, "mute", False), (strip, "blend_type", "REPLACE")]
    meanwhile += [(strip, "blend_alpha", 1.0)]
    with _kept(meanwhile):
        yield


@contextmanager
def _linear_exr(scene, path):
    render = scene.render
    settings = render.image_settings
    sequencer = scene.sequencer_colorspace_settings
    linear = vse_compat.linear_space(sequencer)
    meanwhile = [
        (settings, "media_type", "IMAGE"),  # asked for since 5.0, absent before
        (settings, "file_format", "OPEN_EXR"),
        (settings, "color_mode", "RGBA"),
        (settings, "color_depth", "32"),
        (settings, "exr_codec", "ZIP"),
        (settings, "color_management", "FOLLOW_SCENE"),
        (render, "use_sequencer", True),
        (render, "resolution_percentage", 100),
        (render, "use_border", False),
        (render, "dither_intensity", 0.0),
        (render, "use_multiview", False),
        (render, "use_stamp", False),
        (render, "use_file_extension", False),
        (render, "use_overwrite", True),
        (render, "use_placeholder", False),
        (render, "filepath", path),
    ]
    if linear:
        meanwhile.append((sequencer, "name", linear))
    with _kept(meanwhile):
        yield
