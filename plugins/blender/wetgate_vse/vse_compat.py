# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything in which the sequencers of Blender 3.4 to 5.x differ, and nothing else.

Measured in 3.4.1, 4.2.0, 4.5.15 and 5.0.1: `sequences` became `strips` (4.4 has both), effects
take `length` instead of `frame_end` (5.0), image settings ask for `media_type` (5.0), the
sequencer has a scene of its own (5.0), and actions keep their curves in channel bags (5.0).
5.2 renames the handles; the old names go in 6.0.
"""

from contextlib import contextmanager

import bpy

LINEAR_SPACES = ("Linear Rec.709", "Linear", "scene_linear")
"""Names of linear light with Rec.709 primaries in the configs of Blender; the first one counts."""


def sequencer_scene(context):
    """Return the scene whose strips the sequencer shows."""
    return getattr(context, "sequencer_scene", None) or context.scene


def strips_of(owner):
    """Return the collection of strips of an editor or of a meta strip."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def all_strips(editor):
    """Return every strip of a sequence editor, those in meta strips included."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def open_owner(editor):
    """Return what the artist looks into: the editor itself, or the meta strip that is open."""
    stack = editor.meta_stack
    return stack[-1] if len(stack) else editor


def owner_of(editor, strip):
    """Return the editor or the meta strip that holds a strip; None when none does."""
    for candidate in [editor] + [s for s in all_strips(editor) if s.type == "META"]:
        if any(s == strip for s in strips_of(candidate)):
            return candidate
    return None


def _first(strip, names):
    for name in names:
        if hasattr(strip, name):
            return getattr(strip, name)
    raise AttributeError(names[0])


def left(strip):
    """Return the first timeline frame on which a strip is seen."""
    return int(_first(strip, ("left_handle", "frame_final_start")))


def right(strip):
    """Return the first timeline frame behind a strip."""
    return int(_first(strip, ("right_handle", "frame_final_end")))


def content_start(strip):
    """Return the timeline frame of a strip's first picture, trimmed or not."""
    return _first(strip, ("content_start", "frame_start"))


def set_content_start(strip, frame):
    """Move a strip so that its first picture, trimmed or not, lies on a timeline frame."""
    name = "content_start" if hasattr(strip, "content_start") else "frame_start"
    setattr(strip, name, frame)


def set_right(strip, frame):
    """Put the right handle of a strip on a timeline frame."""
    name = "right_handle" if hasattr(strip, "right_handle") else "frame_final_end"
    setattr(strip, name, frame)


def is_retimed(strip):
    """Tell whether a strip plays at another speed than a picture a frame."""
    if abs(getattr(strip, "speed_factor", 1.0) - 1.0) > 1e-6:
        return True
    return len(getattr(strip, "retiming_keys", ())) > 0


def new_effect(owner, name, kind, channel, start, end, inputs=()):
    """Make an effect strip over the timeline frames start to end, the end not included."""
    version = bpy.app.version
    span = {"length": end - start} if version >= (5, 0) else {"frame_end": end}
    words = ("input1", "input2") if version >= (5, 0) else ("seq1", "seq2")
    span.update(zip(words, inputs))
    try:
        return strips_of(owner).new_effect(
            name=name, type=kind, channel=channel, frame_start=start, **span
        )
    except TypeError:  # 4.4 and 4.5 have renamed the inputs already, but not the span
        for old, new in (("seq1", "input1"), ("seq2", "input2")):
            if old in span:
                span[new] = span.pop(old)
        return strips_of(owner).new_effect(
            name=name, type=kind, channel=channel, frame_start=start, **span
        )


def free_channel(owner, above, start, end):
    """Return the lowest channel above one in which no strip lies on the frames start to end.

    Raises:
        ValueError: when all channels are taken.
    """
    most = 128 if bpy.app.version >= (4, 0) else 32
    taken = {s.channel for s in strips_of(owner) if left(s) < end and start < right(s)}
    for channel in range(above + 1, most + 1):
        if channel not in taken:
            return channel
    raise ValueError(
        f"all channels above channel {above} are taken from frame {start} to {end - 1}; "
        "move some strips"
    )


@contextmanager
def scene_for_modifiers(scene):
    """Let modifiers be made, and tell whether they can.

    Blender 5.0.1 crashes in `modifiers.new` when its context has no scene for the sequencer.
    """
    names = bpy.types.WorkSpace.bl_rna.properties.keys()
    if "sequencer_scene" not in names or bpy.context.sequencer_scene:
        yield True
        return
    workspace = bpy.context.workspace
    if workspace is None:
        yield False
        return
    before = workspace.sequencer_scene
    workspace.sequencer_scene = scene
    try:
        yield bpy.context.sequencer_scene is not None
    finally:
        workspace.sequencer_scene = before


def linear_space(settings):
    """Return the name of linear Rec.709 that a setting of Blender knows; None for neither."""
    known = settings.bl_rna.properties["name"].enum_items.keys()
    return next((name for name in LINEAR_SPACES if name in known), None)


def strip_curves(scene):
    """Return the collections of animation curves that a scene has; empty without any."""
    data = scene.animation_data
    action = data.action if data else None
    if action is None:
        return []
    if hasattr(action, "fcurves"):
        return [action.fcurves]
    slot = data.action_slot
    return [
        bag.fcurves
        for layer in action.layers
        for strip in layer.strips
        for bag in strip.channelbags
        if slot is None or bag.slot_handle == slot.handle
    ]


def curve_prefixes(name):
    """Return the ways in which paths of animation name a strip."""
    quoted = bpy.utils.escape_identifier(name)
    return tuple(
        f'sequence_editor.{collection}["{quoted}"].'
        for collection in ("sequences_all", "strips_all")
    )


def redraw(context_windows):
    """Ask the sequencers and the status bars for a redraw."""
    for window in context_windows:
        for area in window.screen.areas:
            if area.type in ("SEQUENCE_EDITOR", "PREFERENCES"):
                area.tag_redraw()
        # The status bar belongs to no screen: to write its text is the one way to redraw it.
        window.workspace.status_text_set_internal(None)


def progress(layout, value, text):
    """Draw a bar of progress, 0 to 1, with a text; before Blender 4.0 the text stands above."""
    if hasattr(layout, "progress"):
        layout.progress(factor=value, text=text)
        return
    column = layout.column(align=True)
    column.label(text=text)
    bar = column.row()
    bar.enabled = False
    bar.prop(bpy.context.window_manager, "wetgate_progress", text="", slider=True)
