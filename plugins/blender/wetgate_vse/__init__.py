# SPDX-License-Identifier: GPL-3.0-or-later
"""Wetgate in Blender's video sequencer: restores image and movie strips.

The work is done by the engine, a program of its own. This add-on needs nothing but Blender.
"""

import bpy

from . import ops, prefs, ui, work

bl_info = {
    "name": "Wetgate",
    "author": "The wetgate authors",
    "version": (0, 1, 0),
    "blender": (3, 4, 0),
    "location": "Video Sequencer > Sidebar > Wetgate",
    "description": "Restores film and video strips and changes nothing else",
    "category": "Sequencer",
}


def register():
    """Put the panel, the operators and the settings into Blender."""
    for item in prefs.CLASSES + ops.CLASSES + ui.CLASSES:
        bpy.utils.register_class(item)
    bpy.types.Scene.wetgate = bpy.props.PointerProperty(type=prefs.WetgateSettings)
    bpy.types.WindowManager.wetgate_progress = bpy.props.FloatProperty(
        name="Progress", min=0.0, max=100.0, subtype="PERCENTAGE", options={"SKIP_SAVE"}
    )
    bpy.types.STATUSBAR_HT_header.append(ui.draw_status)


def unregister():
    """Take everything out again; jobs of the engine go on."""
    work.stop()
    bpy.types.STATUSBAR_HT_header.remove(ui.draw_status)
    del bpy.types.WindowManager.wetgate_progress
    del bpy.types.Scene.wetgate
    for item in reversed(prefs.CLASSES + ops.CLASSES + ui.CLASSES):
        bpy.utils.unregister_class(item)
