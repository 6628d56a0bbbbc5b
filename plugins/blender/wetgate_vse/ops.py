# SPDX-License-Identifier: GPL-3.0-or-later
"""What the buttons of the panel do."""

import os
import webbrowser
from pathlib import Path

import bpy

from . import prefs, results, strips, vse_compat, work


def chosen_strips(context):
    """Return the strips that Restore takes: the selected ones, in the order of the timeline."""
    editor = vse_compat.sequencer_scene(context).sequence_editor
    if editor is None:
        return []
    found = [
        s
        for s in vse_compat.strips_of(vse_compat.open_owner(editor))
        if s.select and s.type != "SOUND" and results.kind_of(s) is None
    ]
    return sorted(found, key=lambda s: (vse_compat.left(s), s.channel))


def shown_strip(context):
    """Return the strip of which the panel speaks: the active one, else a selected one."""
    editor = vse_compat.sequencer_scene(context).sequence_editor
    if editor is None:
        return None
    active = editor.active_strip
    if active is not None and active.select and results.kind_of(active) is None:
        return active
    found = chosen_strips(context)
    return found[0] if found else None


class _Wetgate:
    @classmethod
    def poll(cls, context):
        return vse_compat.sequencer_scene(context) is not None


class WETGATE_OT_restore(_Wetgate, bpy.types.Operator):
    """Restore the selected strips; the results come as new strips above them"""

    bl_idname = "wetgate.restore"
    bl_label = "Restore"

    @classmethod
    def poll(cls, context):
        """Allow it while nothing else is being done."""
        return vse_compat.sequencer_scene(context) is not None and not work.STATUS.busy

    def execute(self, context):
        """Start the jobs; without windows, run them to the end."""
        return _begin(self, context, fetch=False)


class WETGATE_OT_fetch(bpy.types.Operator):
    """Take the results of earlier jobs of these frames, such as went on without Blender"""

    bl_idname = "wetgate.fetch"
    bl_label = "Fetch Earlier Results"

    @classmethod
    def poll(cls, context):
        """Allow it while nothing else is being done."""
        return vse_compat.sequencer_scene(context) is not None and not work.STATUS.busy

    def execute(self, context):
        """Follow the jobs; without windows, to the end."""
        return _begin(self, context, fetch=True)


def _begin(operator, context, fetch):
    scene = vse_compat.sequencer_scene(context)
    chosen = chosen_strips(context)
    try:
        if not chosen:
            raise strips.Unsuitable("no strip with pictures is selected")
        work.start(scene, scene.wetgate, prefs.preferences(context), chosen, fetch)
    except (strips.Unsuitable, work.Busy) as error:
        work.STATUS.say("error", error)
        operator.report({"ERROR"}, str(error))
        return {"CANCELLED"}
    if bpy.app.background:
        work.run_to_end()
    return {"FINISHED"}


class WETGATE_OT_cancel(bpy.types.Operator):
    """Stop after the frames in work; what is done is kept"""

    bl_idname = "wetgate.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context):
        """Allow it while something is being done."""
        return work.STATUS.busy and not work.STATUS.stopping

    def execute(self, _context):
        """Ask the engine to stop."""
        work.cancel()
        return {"FINISHED"}


class WETGATE_OT_preview(_Wetgate, bpy.types.Operator):
    """Make the current frame of the strip and show it above all others"""

    bl_idname = "wetgate.preview"
    bl_label = "Preview Frame"

    @classmethod
    def poll(cls, context):
        """Allow it while no other preview is being made."""
        return vse_compat.sequencer_scene(context) is not None and not work.STATUS.preview

    def execute(self, context):
        """Start to make the frame; without windows, wait for it."""
        scene = vse_compat.sequencer_scene(context)
        strip = shown_strip(context)
        try:
            if strip is None:
                raise strips.Unsuitable("no strip is selected")
            work.show_frame(scene, strip, scene.wetgate, prefs.preferences(context))
        except strips.Unsuitable as error:
            work.STATUS.say("error", error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if bpy.app.background:
            work.run_to_end()
        return {"FINISHED"}


class WETGATE_OT_clear_preview(_Wetgate, bpy.types.Operator):
    """Take the preview away"""

    bl_idname = "wetgate.clear_preview"
    bl_label = "Clear Preview"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        """Remove the strip of the preview."""
        found = results.clear_previews(vse_compat.sequencer_scene(context))
        return {"FINISHED"} if found else {"CANCELLED"}


class WETGATE_OT_insert_results(bpy.types.Operator):
    """Put the restored frames above their strips"""

    bl_idname = "wetgate.insert_results"
    bl_label = "Restore with Wetgate"
    bl_options = {"UNDO", "INTERNAL"}

    def execute(self, context):
        """Insert all results that have come."""
        for scene in bpy.data.scenes:
            results.clear_previews(scene)
        made = work.put_results(bpy.data.scenes.get)
        return {"FINISHED"} if made else {"CANCELLED"}


class WETGATE_OT_show_preview(bpy.types.Operator):
    """Show the frame that has been made"""

    bl_idname = "wetgate.show_preview"
    bl_label = "Preview with Wetgate"
    bl_options = {"UNDO", "INTERNAL"}

    def execute(self, _context):
        """Insert the preview."""
        work.put_preview(bpy.data.scenes.get)
        return {"FINISHED"}


class WETGATE_OT_compare(_Wetgate, bpy.types.Operator):
    """Show the restored strips or their originals"""

    bl_idname = "wetgate.compare"
    bl_label = "Compare"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context):
        """Allow it where there are results."""
        scene = vse_compat.sequencer_scene(context)
        return scene is not None and bool(results.restored(scene))

    def execute(self, context):
        """Mute the results and show the originals, or the other way round."""
        scene = vse_compat.sequencer_scene(context)
        results.show(scene, originals=not all(s.mute for s in results.restored(scene)))
        return {"FINISHED"}


class WETGATE_OT_open_report(_Wetgate, bpy.types.Operator):
    """Open the report of the last result in the web browser"""

    bl_idname = "wetgate.open_report"
    bl_label = "Open Report"

    @classmethod
    def poll(cls, context):
        """Allow it where a result has a report."""
        return last_report(context) is not None

    def execute(self, context):
        """Open the page."""
        webbrowser.open(Path(last_report(context)).as_uri())
        return {"FINISHED"}


class WETGATE_OT_check_engine(bpy.types.Operator):
    """Start the engine if need be, and take its list of recipes"""

    bl_idname = "wetgate.check_engine"
    bl_label = "Connect to the Engine"

    @classmethod
    def poll(cls, _context):
        """Allow it while the engine is not being asked."""
        return not work.STATUS.asking

    def execute(self, context):
        """Ask the engine; without windows, wait for the answer."""
        try:
            work.ask_engine(prefs.preferences(context))
        except strips.Unsuitable as error:
            work.STATUS.say("error", error)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        if bpy.app.background:
            work.run_to_end()
        return {"FINISHED"}


class WETGATE_OT_clear_messages(bpy.types.Operator):
    """Take the messages away"""

    bl_idname = "wetgate.clear_messages"
    bl_label = "Clear Messages"

    def execute(self, _context):
        """Forget them."""
        del work.STATUS.messages[:]
        return {"FINISHED"}


class WETGATE_OT_open_preferences(bpy.types.Operator):
    """Open the preferences of this add-on"""

    bl_idname = "wetgate.open_preferences"
    bl_label = "Preferences"

    def execute(self, _context):
        """Open them in the editor of preferences."""
        bpy.ops.preferences.addon_show(module=__package__)
        return {"FINISHED"}


def last_report(context):
    """Return the path of the report of the active result, else of the last one; None without."""
    scene = vse_compat.sequencer_scene(context)
    found = results.restored(scene) if scene is not None else []
    active = scene.sequence_editor.active_strip if found else None
    if active is not None and results.kind_of(active) == "restored":
        found.append(active)
    for strip in reversed(found):
        path = strip[results.MARK].get("report")
        if path and os.path.isfile(path):
            return path
    return None


CLASSES = (
    WETGATE_OT_restore,
    WETGATE_OT_fetch,
    WETGATE_OT_cancel,
    WETGATE_OT_preview,
    WETGATE_OT_clear_preview,
    WETGATE_OT_insert_results,
    WETGATE_OT_show_preview,
    WETGATE_OT_compare,
    WETGATE_OT_open_report,
    WETGATE_OT_check_engine,
    WETGATE_OT_clear_messages,
    WETGATE_OT_open_preferences,
)
