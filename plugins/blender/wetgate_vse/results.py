# SPDX-License-Identifier: GPL-3.0-or-later
"""Put restored frames above the strip that they come from, with all that the strip says."""

import os

import bpy

from . import strips, vse_compat

MARK = "wetgate"
# What makes a strip this strip and not another, or lies in the order of work below.
_OWN = {
    "name", "type", "select", "select_left_handle", "select_right_handle", "channel", "directory",
    "filepath", "frame_start", "frame_final_start", "frame_final_end", "frame_final_duration",
    "frame_offset_start", "frame_offset_end", "left_handle", "right_handle", "duration",
    "content_start", "lock", "mute", "use_proxy", "stream_index", "animation_offset_start",
    "animation_offset_end", "effect_fader", "use_default_fade",
}  # fmt: skip
_PARTS = ("transform", "crop", "colorspace_settings", "stereo_3d_format")


class NoPlace(ValueError):
    """The result cannot be put into the sequencer; the message says why and where it is."""


def insert(scene, source, found, facts):
    """Make the strip of a result and return it with notes in words.

    Args:
        found: for each path of the source the path of the restored frame; frames that failed
            are absent, and the new strip shows the source there.
        facts: of the job, kept in the strip: job, directory, report, recipe, strength.

    Raises:
        NoPlace: when the strip is gone or no channel is free.
    """
    editor = scene.sequence_editor
    every = vse_compat.all_strips(editor) if editor else ()
    old = next((s for s in every if s.name == source.strip and _shows(s, source)), None)
    if old is None:
        raise NoPlace(
            f'the strip "{source.strip}" is gone or shows something else by now; its restored '
            f"frames are in {facts['directory']}"
        )
    owner = vse_compat.owner_of(editor, old)
    try:
        channel = vse_compat.free_channel(owner, old.channel, source.start, source.end)
    except ValueError as error:
        raise NoPlace(f"{error}; the restored frames are in {facts['directory']}") from error
    notes = []
    names = _names(source, found, facts["directory"])
    new = _new_images(owner, old, facts["directory"], names, channel)
    try:
        if source.kind == "render":
            _as_rendered(new, old)
        else:
            notes += _as_old(scene, new, old)
        _place(new, old, source)
        _fit_size(new, source, found)
        new[MARK] = dict(facts, kind="restored", source=old.name)
        # Both at once would be blended twice: fades and soft edges would show.
        old.mute = True
    except BaseException:
        vse_compat.strips_of(owner).remove(new)
        raise
    return new, notes


def preview(scene, strip, path, frame, kind, space, size):
    """Show one picture above a strip on one frame, in place of an earlier preview; return it.

    Args:
        kind: "restored", "difference" or "matte". space: of the strip, for its own pictures.
        size: width and height of the picture in pixels.

    Raises:
        ValueError: when no channel is free.
    """
    editor = scene.sequence_editor
    clear_previews(scene)
    owner = vse_compat.owner_of(editor, strip)
    channel = vse_compat.free_channel(owner, _top_channel(owner, frame), frame, frame + 1)
    folder, name = os.path.split(path)
    new = _new_images(owner, strip, folder, [name], channel)
    _as_old(scene, new, strip, with_looks=kind == "restored", with_curves=False)
    vse_compat.set_content_start(new, frame)
    vse_compat.set_right(new, frame + 1)
    new.name = "Preview: " + kind
    new.use_float = True
    new.alpha_mode = "PREMUL"
    if kind == "matte":
        new.colorspace_settings.name = "Non-Color"
    elif space:
        new.colorspace_settings.name = space
    old_size = _size_on(strip, frame)
    if old_size:
        _scale(new, old_size, size)
    new.blend_type = "REPLACE"
    new.blend_alpha = 1.0
    new[MARK] = {"kind": "preview", "source": strip.name}
    return new


def clear_previews(scene):
    """Take the preview away; return whether there was one."""
    editor = scene.sequence_editor
    gone = [s for s in vse_compat.all_strips(editor) if kind_of(s) == "preview"] if editor else []
    for strip in gone:
        vse_compat.strips_of(vse_compat.owner_of(editor, strip)).remove(strip)
    return bool(gone)


def kind_of(strip):
    """Return "restored" or "preview" for strips of this add-on; None for others."""
    mark = strip.get(MARK)
    return mark.get("kind") if hasattr(mark, "get") else None


def show(scene, originals):
    """Show the originals of all results, or the results."""
    every = list(vse_compat.all_strips(scene.sequence_editor))
    for strip in restored(scene):
        strip.mute = originals
        below = next((s for s in every if s.name == strip[MARK].get("source")), None)
        if below is not None:
            below.mute = not originals


def restored(scene):
    """Return the strips of a scene that are results."""
    editor = scene.sequence_editor
    return [s for s in vse_compat.all_strips(editor) if kind_of(s) == "restored"] if editor else []


def _shows(strip, source):
    """Tell whether a strip still shows what was restored: another scene may use its name."""
    if source.kind == "render":
        return strip.type not in ("IMAGE", "SOUND")
    if source.kind == "movie":
        return strip.type == "MOVIE" and strips.movie_path(strip) == source.plate
    if strip.type != "IMAGE":
        return False
    return set(source.files) <= {strips.element_path(strip, e) for e in strip.elements}


def _top_channel(owner, frame):
    over = (
        s.channel
        for s in vse_compat.strips_of(owner)
        if vse_compat.left(s) <= frame < vse_compat.right(s)
    )
    return max(over, default=0)


def _names(source, found, directory):
    names = []
    for path in source.listed:
        if path in found:
            names.append(os.path.relpath(found[path], directory))
            continue
        try:
            name = os.path.relpath(path, directory) if source.kind != "movie" else ""
        except ValueError:
            name = ""  # another drive
        if not name or len(name) > 250:
            raise NoPlace(
                f"{path} was not restored and cannot be shown in its place; the frames "
                f"that are done are in {directory}"
            )
        names.append(name)
    return names


def _new_images(owner, old, directory, names, channel):
    new = vse_compat.strips_of(owner).new_image(
        name=old.name + " restored",
        filepath=os.path.join(directory, names[0]),
        channel=channel,
        frame_start=vse_compat.left(old),
    )
    for name in names[1:]:
        new.elements.append(name)
    # The first one too: Blender parts a path at its last slash, a name may hold some.
    new.directory = os.path.join(directory, "")
    new.elements[0].filename = names[0]
    return new


def _place(new, old, source):
    channel = new.channel
    if source.whole:
        vse_compat.set_content_start(new, vse_compat.content_start(old))
        new.frame_offset_start = old.frame_offset_start
        new.frame_offset_end = old.frame_offset_end
        for name in ("animation_offset_start", "animation_offset_end"):
            if hasattr(old, name) and getattr(old, name):
                setattr(new, name, getattr(old, name))
    else:
        vse_compat.set_content_start(new, source.start)
        vse_compat.set_right(new, source.end)
    new.channel = channel


def _as_rendered(new, old):
    """Keep how the strip lies on others; its transform and looks are in the pixels already."""
    new.blend_type = old.blend_type
    new.blend_alpha = old.blend_alpha
    space = vse_compat.linear_space(new.colorspace_settings)
    if space:
        new.colorspace_settings.name = space
    new.alpha_mode = "PREMUL"
    new.use_float = True


def _as_old(scene, new, old, with_looks=True, with_curves=True):
    notes = []
    for name in _PARTS:
        if hasattr(old, name) and hasattr(new, name):
            _copy(getattr(old, name), getattr(new, name))
    known = set(new.bl_rna.properties.keys())
    _copy(old, new, [n for n in old.bl_rna.properties.keys() if n in known and n not in _OWN])
    if with_looks:
        with vse_compat.scene_for_modifiers(scene) as can:
            notes += _copy_modifiers(old, new, can)
    if with_curves:
        _copy_curves(scene, old, new)
    return notes


def _copy(old, new, names=None):
    """Copy the plain values of one struct to another of its kind."""
    for prop in old.bl_rna.properties:
        name = prop.identifier
        if name == "rna_type" or prop.is_readonly or prop.type in ("COLLECTION",):
            continue
        if names is not None and name not in names:
            continue
        try:
            value = getattr(old, name)
            if getattr(new, name) != value:
                setattr(new, name, value)
        except (AttributeError, TypeError, ValueError):
            continue  # a value of this kind of strip that the other kind does not take


def _copy_modifiers(old, new, can):
    notes = []
    for modifier in old.modifiers:
        try:
            made = can and new.modifiers.new(modifier.name, modifier.type)
        except (RuntimeError, TypeError, ValueError):
            made = None
        if not made:
            notes.append(f'the modifier "{modifier.name}" was not copied')
            continue
        _copy(modifier, made)
        for prop in modifier.bl_rna.properties:
            part = getattr(modifier, prop.identifier) if prop.type == "POINTER" else None
            if part is None or not prop.is_readonly or prop.identifier == "rna_type":
                continue
            if hasattr(part, "curves"):
                _copy_mapping(part, getattr(made, prop.identifier))
            else:
                _copy(part, getattr(made, prop.identifier))
    return notes


def _copy_mapping(old, new):
    _copy(old, new)
    for have, want in zip(new.curves, old.curves):
        while len(have.points) < len(want.points):
            have.points.new(0.5, 0.5)
        while len(have.points) > len(want.points):
            have.points.remove(have.points[-1])
        for point, model in zip(have.points, want.points):
            point.location = model.location
            point.handle_type = model.handle_type
    new.update()


def _copy_curves(scene, old, new):
    """Copy the animation of a strip: fades and moves."""
    prefixes = vse_compat.curve_prefixes(old.name)
    for curves in vse_compat.strip_curves(scene):
        for curve in list(curves):
            prefix = next((p for p in prefixes if curve.data_path.startswith(p)), None)
            if prefix is None:
                continue
            mine = vse_compat.curve_prefixes(new.name)[prefixes.index(prefix)]
            path = mine + curve.data_path[len(prefix) :]
            if curves.find(path, index=curve.array_index) is not None:
                continue
            made = curves.new(path, index=curve.array_index)
            made.extrapolation = curve.extrapolation
            made.keyframe_points.add(len(curve.keyframe_points))
            for key, model in zip(made.keyframe_points, curve.keyframe_points):
                _copy(model, key)
            made.update()


def _fit_size(new, source, found):
    """Undo in the transform what a recipe that enlarges has done to the size in pixels."""
    pair = next(iter(found.items()), None)
    if pair is None or source.kind != "files":
        return
    sizes = [size_of(path) for path in pair]
    if all(sizes):
        _scale(new, sizes[0], sizes[1])


def _scale(new, old_size, new_size):
    wide, high = new_size[0] / old_size[0], new_size[1] / old_size[1]
    if (wide, high) == (1.0, 1.0):
        return
    new.transform.scale_x /= wide
    new.transform.scale_y /= high
    for name, ratio in (("min_x", wide), ("max_x", wide), ("min_y", high), ("max_y", high)):
        setattr(new.crop, name, int(round(getattr(new.crop, name) * ratio)))


def _size_on(strip, frame):
    if strip.type != "IMAGE":
        return None
    element = strip.strip_elem_from_frame(frame)
    return size_of(os.path.join(bpy.path.abspath(strip.directory), element.filename))


def size_of(path):
    """Return width and height of a picture in pixels; None when Blender cannot read it."""
    try:
        image = bpy.data.images.load(path, check_existing=False)
    except RuntimeError:
        return None
    try:
        size = tuple(image.size)
    finally:
        bpy.data.images.remove(image)
    return size if all(size) else None
