# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the add-on, and the settings that lie in every scene."""

import functools
import json
import os
import shutil
import zlib

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    StringProperty,
)

from . import wetgate_client

BUILT_IN = (
    ("film-clean-only", "Takes dirt and scratches off and touches nothing else"),
    ("film-scan", "Scratches, then dirt, then grain calmed and most of it kept"),
    ("denoise", "Takes the noise or grain down, measured from the shot itself"),
    ("deartifact", "Takes blocking and mosquito noise of codecs out"),
    ("deblur", "Takes back the small blur of a lens"),
    ("upscale2", "Doubles width and height"),
    ("upscale4", "Four times width and height"),
    ("identity", "Changes nothing: a test of the way there and back"),
)
"""Shown until the engine has told its own list."""

START_SECONDS = 60.0
"""A machine that is busy with other work takes its time to start a program."""

FILE = "FILE"
ANSWER = {"version": None, "words": ""}
"""What the engine has said when it was asked last."""

_recipes = []
_items = []
_documents = {}


@functools.lru_cache(maxsize=1)
def settings_beside():
    """Return what the installer has written next to the add-on; empty without one."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "settings.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class WetgatePreferences(bpy.types.AddonPreferences):
    """Where the engine is and what it may use."""

    bl_idname = __package__

    engine: StringProperty(
        name="Engine",
        description="The program wetgate; empty for the one that the installer has set",
        subtype="FILE_PATH",
    )
    cache: StringProperty(
        name="Cache folder",
        description="Where restored frames go, a folder for each job",
        default="//wetgate",
        subtype="DIR_PATH",
    )
    memory: IntProperty(
        name="Memory (GB)", description="The most to use; 0 for 4 GB", default=0, min=0, max=4096
    )
    threads: IntProperty(name="Threads", description="0 for all cores", default=0, min=0, max=1024)

    def draw(self, context):
        """Draw the preferences."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "engine")
        if not self.engine:
            found = engine_path(self)
            line = layout.row()
            line.alert = not found
            line.label(text="Used: " + found if found else NO_ENGINE)
        layout.operator("wetgate.check_engine", icon="LINKED")
        if ANSWER["words"]:
            line = layout.row()
            line.alert = not ANSWER["version"]
            line.label(text=ANSWER["words"], icon="CHECKMARK" if ANSWER["version"] else "ERROR")
        layout.prop(self, "cache")
        layout.prop(self, "memory")
        layout.prop(self, "threads")


NO_ENGINE = "Not found: install the engine, or set the path of the program wetgate"


def preferences(context):
    """Return the preferences of this add-on."""
    return context.preferences.addons[__package__].preferences


def engine_path(prefs):
    """Return the absolute path of the engine; empty when there is none."""
    for path in (bpy.path.abspath(prefs.engine), settings_beside().get("engine", "")):
        if path:
            return os.path.abspath(path)
    return shutil.which("wetgate") or ""


def cache_folder(prefs):
    """Return the folder for results as an absolute path.

    A folder beside the scene needs a saved scene; until then it is in the user's own.
    """
    path = prefs.cache.strip() or "//wetgate"
    if path.startswith("//") and not bpy.data.filepath:
        return own_folder()
    return os.path.abspath(bpy.path.abspath(path))


def own_folder():
    """Return the folder for results that belongs to the user, not to a scene."""
    return os.path.join(wetgate_client.default_home(), "blender")


def connector(prefs):
    """Return a function that gives a connected client; made to be called in a thread."""
    path = engine_path(prefs)

    def connect():
        client = wetgate_client.Client(executable=path)
        client.connect(start=True, wait=START_SECONDS)
        return client

    return connect


def recipe_items(_self, _context):
    """Return the recipes for a menu; Blender needs the texts kept alive."""
    known = _recipes or [{"name": n, "summary": s} for n, s in BUILT_IN]
    _items[:] = [_item(r["name"], r["name"], r.get("summary", "")) for r in known]
    _items.append(_item(FILE, "From a file...", "A recipe of your own, as a .toml file"))
    return _items


def _item(name, label, text):
    # A scene keeps the number: it must not change when the engine tells a longer list.
    return (name, label, text, "NONE", zlib.crc32(name.encode("utf-8")) & 0x7FFFFFFF)


def keep_recipes(found):
    """Keep what the engine says of its recipes."""
    _recipes[:] = found
    for recipe in found:
        if recipe.get("document"):
            _documents[recipe["name"]] = recipe["document"]


def recipes_known():
    """Tell whether the engine has told its recipes."""
    return bool(_recipes)


def operators_of(name):
    """Return the operators of a recipe in order; empty when they are not known."""
    found = next((r for r in _recipes if r["name"] == name), None)
    return list(found.get("operators", ())) if found else []


def document_of(name):
    """Return a recipe in full, when the engine has told it."""
    return _documents.get(name)


def update_steps(self, _context):
    """List the operators of the recipe chosen, all of them on."""
    self.steps.clear()
    for name in operators_of(self.recipe):
        self.steps.add().name = name


class WetgateStep(bpy.types.PropertyGroup):
    """One operator of the recipe."""

    use: BoolProperty(name="Use", description="Apply this operator", default=True)


class WetgateSettings(bpy.types.PropertyGroup):
    """What the panel asks of the engine."""

    recipe: EnumProperty(
        name="Recipe", description="What to do", items=recipe_items, update=update_steps
    )
    recipe_file: StringProperty(
        name="File", description="A recipe as a .toml file", subtype="FILE_PATH"
    )
    steps: CollectionProperty(type=WetgateStep)
    strength: FloatProperty(
        name="Strength",
        description="0 does nothing, 1 is the whole recipe",
        default=1.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    space_mode: EnumProperty(
        name="Color space",
        description="What tells the color space of the files",
        items=(
            ("STRIP", "Of the strip", "The color space set in the strip"),
            ("FILE", "Of the files", "What the files say of themselves"),
            ("NAME", "Other", "A color space of the engine, by name"),
        ),
    )
    space_name: StringProperty(
        name="Name", description='A color space of the engine, e.g. "Cineon Log - Film Scan"'
    )
    scope: EnumProperty(
        name="Restore",
        description="How much of the selected strips",
        items=(
            ("STRIPS", "Strips", "The selected strips"),
            ("RANGE", "Range", "The frames of the selected strips in the scene's range"),
        ),
    )
    whole: BoolProperty(
        name="Trimmed frames too",
        description="Restore image strips to their ends, so that the result can be trimmed anew",
        default=True,
    )
    view: EnumProperty(
        name="View",
        description="What a preview shows of the frame",
        items=(
            ("restored", "Restored", "The restored frame"),
            ("difference", "Difference", "What the restoration changes"),
            ("matte", "Matte", "Where it changes the picture"),
        ),
    )


CLASSES = (WetgateStep, WetgateSettings, WetgatePreferences)
