# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel in the sidebar of the sequencer, and the line in the status bar."""

import os
import textwrap

import bpy

from . import ops, prefs, results, spaces, vse_compat, work

_ICONS = {"error": "ERROR", "warning": "INFO", "info": "INFO"}


class _Panel:
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Wetgate"


class WETGATE_PT_main(_Panel, bpy.types.Panel):
    """Source, recipe, and the work in hand."""

    bl_label = "Wetgate"
    bl_idname = "WETGATE_PT_main"

    def draw(self, context):
        """Draw the panel."""
        layout = self.layout
        scene = vse_compat.sequencer_scene(context)
        preferences = prefs.preferences(context)
        if not prefs.engine_path(preferences):
            _words(context, layout, "error", prefs.NO_ENGINE)
            layout.operator("wetgate.open_preferences", icon="PREFERENCES")
            return
        if scene is None:
            layout.label(text="No scene to edit")
            return
        settings = scene.wetgate
        column = layout.column()
        column.enabled = not work.STATUS.busy
        _draw_source(context, column, settings)
        _draw_recipe(column, settings)
        _draw_work(context, layout)
        _draw_messages(context, layout)


class WETGATE_PT_preview(_Panel, bpy.types.Panel):
    """The current frame before the whole."""

    bl_label = "Preview"
    bl_parent_id = "WETGATE_PT_main"

    @classmethod
    def poll(cls, context):
        """Show it where the engine is."""
        return bool(prefs.engine_path(prefs.preferences(context)))

    def draw(self, context):
        """Draw the panel."""
        scene = vse_compat.sequencer_scene(context)
        if scene is None:
            return
        layout = self.layout
        layout.row().prop(scene.wetgate, "view", expand=True)
        row = layout.row(align=True)
        if work.STATUS.preview:
            row.label(text=work.STATUS.preview + "...", icon="TIME")
        else:
            row.operator("wetgate.preview", icon="HIDE_OFF")
        row.operator("wetgate.clear_preview", text="", icon="X")


class WETGATE_PT_result(_Panel, bpy.types.Panel):
    """What has been restored."""

    bl_label = "Result"
    bl_parent_id = "WETGATE_PT_main"

    @classmethod
    def poll(cls, context):
        """Show it where there is a result."""
        scene = vse_compat.sequencer_scene(context)
        return scene is not None and bool(results.restored(scene))

    def draw(self, context):
        """Draw the panel."""
        layout = self.layout
        found = results.restored(vse_compat.sequencer_scene(context))
        hidden = all(s.mute for s in found)
        row = layout.row(align=True)
        row.operator(
            "wetgate.compare",
            text="Show Restored" if hidden else "Show Original",
            icon="HIDE_ON" if hidden else "HIDE_OFF",
            depress=hidden,
        )
        row.operator("wetgate.open_report", text="Report", icon="URL")
        mark = found[-1][results.MARK]
        text = "{}, {}".format(mark.get("source"), mark.get("recipe"))
        layout.label(text="Last: " + text, icon="SEQUENCE")


def _draw_source(context, layout, settings):
    strip = ops.shown_strip(context)
    chosen = ops.chosen_strips(context)
    box = layout.box().column(align=True)
    if strip is None:
        box.label(text="Select an image or movie strip", icon="SEQUENCE")
    else:
        more = f"  and {len(chosen) - 1} more" if len(chosen) > 1 else ""
        box.label(text=strip.name + more, icon="SEQUENCE")
        for line in _facts(strip):
            box.label(text=line, icon="BLANK1")
    part = layout.column()
    part.use_property_split = True
    part.use_property_decorate = False
    part.prop(settings, "space_mode")
    if settings.space_mode == "NAME":
        part.prop(settings, "space_name", text=" ")
    elif settings.space_mode == "STRIP" and strip is not None:
        text, wrong = _space_words(strip)
        split = part.split(factor=0.4)
        split.label(text="")
        split.alert = wrong
        split.label(text=text)


def _facts(strip):
    shown = vse_compat.right(strip) - vse_compat.left(strip)
    if strip.type == "IMAGE" and len(strip.elements):
        first, last = strip.elements[0].filename, strip.elements[-1].filename
        yield first if first == last else f"{first} to {last}"
        trimmed = len(strip.elements) - shown
        yield f"{shown} frames" + (f", {trimmed} more are trimmed" if trimmed > 0 else "")
    elif strip.type == "MOVIE":
        yield os.path.basename(strip.filepath)
        yield f"{shown} frames"
    else:
        yield f"{shown} frames, rendered to linear EXR first"


def _space_words(strip):
    if strip.type not in ("IMAGE", "MOVIE"):
        return "Linear Rec.709", False
    name = strip.colorspace_settings.name
    try:
        told = spaces.space_of(name)
    except spaces.UnknownSpace:
        return name + ": choose another", True
    return (name + ": as the files say" if told is None else name), False


def _draw_recipe(layout, settings):
    part = layout.column()
    part.use_property_split = True
    part.use_property_decorate = False
    part.prop(settings, "recipe")
    if settings.recipe == prefs.FILE:
        part.prop(settings, "recipe_file", text=" ")
    elif not prefs.recipes_known():
        row = part.row()
        row.use_property_split = False
        busy = work.STATUS.asking
        row.operator(
            "wetgate.check_engine",
            text="Connecting..." if busy else "Connect to the Engine",
            icon="TIME" if busy else "LINKED",
        )
    elif len(settings.steps):
        rows = part.column(heading="Operators", align=True)
        rows.enabled = prefs.document_of(settings.recipe) is not None
        for step in settings.steps:
            rows.prop(step, "use", text=step.name)
    part.prop(settings, "strength", slider=True)
    part.row().prop(settings, "scope", expand=True)
    if settings.scope == "STRIPS":
        part.prop(settings, "whole")


def _draw_work(context, layout):
    status = work.STATUS
    if status.busy:
        vse_compat.progress(layout, status.fraction, status.line)
        row = layout.row()
        row.scale_y = 1.4
        row.operator(
            "wetgate.cancel",
            text="Stopping..." if status.stopping else "Cancel",
            icon="CANCEL",
        )
        return
    row = layout.row(align=True)
    row.scale_y = 1.4
    row.operator("wetgate.restore", icon="PLAY")
    row.operator("wetgate.fetch", text="", icon="FILE_REFRESH")
    if status.outcome:
        good = status.outcome.startswith("Done in")
        layout.label(text=status.outcome, icon="CHECKMARK" if good else "ERROR")


def _draw_messages(context, layout):
    messages = work.STATUS.messages
    if not messages:
        return
    box = layout.box()
    for kind, text in messages[:4]:
        _words(context, box, kind, text)
    box.operator("wetgate.clear_messages", text="Clear", icon="X")


def _words(context, layout, kind, text):
    """Draw a text in as many lines as the width of the panel asks for."""
    scale = context.preferences.system.ui_scale
    wide = max(18, int((context.region.width - 75 * scale) / (7.0 * scale)))
    column = layout.column(align=True)
    column.alert = kind == "error"
    for index, line in enumerate(textwrap.wrap(text, wide)):
        column.label(text=line, icon=_ICONS[kind] if index == 0 else "BLANK1")


def draw_status(self, _context):
    """Draw the work in hand into the status bar."""
    status = work.STATUS
    if not status.busy:
        return
    words = f"Wetgate  {100 * status.fraction:.0f} %  {status.line}"
    self.layout.label(text=words, icon="RENDER_ANIMATION")


CLASSES = (WETGATE_PT_main, WETGATE_PT_preview, WETGATE_PT_result)
