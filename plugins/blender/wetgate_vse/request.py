# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine is asked to do with a strip."""

import os
import re
import time

import bpy

from . import job, prefs, strips

_promised = set()
"""Folders given to jobs, which the engine makes only when it begins."""


def job_options(source, settings, preferences):
    """Return the job of a source, as the engine is asked.

    Raises:
        strips.Unsuitable: when the recipe is not there, or nothing of it is left.
    """
    label = bpy.path.clean_name(source.strip) or "strip"
    folder = _new_folder(_cache_outside(source, preferences), label)
    options = {
        "out": folder,
        "recipe": recipe_of(settings),
        "strength": settings.strength,
        "label": source.strip,
        "client": f"Blender {bpy.app.version_string}",
        "owner_pid": os.getpid(),
    }
    if source.kind == "movie":
        options["plate"], options["frames"] = source.plate, source.frames
    else:
        options["files"] = source.files
    if source.kind != "render":
        options["out"] = job.out_name(source, folder)
    if source.input_space:
        options["input_space"] = source.input_space
    if source.config:
        options["config"] = source.config
    if preferences.memory:
        options["memory"] = f"{preferences.memory}GB"
    if preferences.threads:
        options["threads"] = preferences.threads
    return options


def _cache_outside(source, preferences):
    """Return the cache folder, or the user's own where that lies in the folder of the source.

    The engine never writes into the folder of a source, nor into folders of it.
    """
    folder = prefs.cache_folder(preferences)
    files = [source.plate] if source.kind == "movie" else source.files[:1]
    if any(_is_inside(folder, os.path.dirname(path)) for path in files):
        folder = prefs.own_folder()
        source.notes.append(
            f"the frames are in {folder}, because the cache folder lies in that of the source"
        )
    return folder


def _is_inside(folder, other):
    try:
        folder, other = os.path.realpath(folder), os.path.realpath(other)
        return os.path.commonpath([folder, other]) == other
    except ValueError:
        return False  # two drives


def recipe_of(settings):
    """Return the recipe: a name, a path, or a document without the operators switched off.

    Raises:
        strips.Unsuitable: when the file is not there, or no operator is left.
    """
    if settings.recipe == prefs.FILE:
        path = bpy.path.abspath(settings.recipe_file)
        if not os.path.isfile(path):
            raise strips.Unsuitable("the recipe is not there: {}".format(path or "no file"))
        return os.path.abspath(path)
    off = [s.name for s in settings.steps if not s.use]
    document = prefs.document_of(settings.recipe)
    if not off or document is None:
        return settings.recipe
    left = dict(document)
    left["steps"] = [step for step, row in zip(document["steps"], settings.steps) if row.use]
    if not left["steps"]:
        raise strips.Unsuitable("all operators of the recipe are switched off")
    # What says nothing is left out: an inline recipe takes no null.
    return {key: value for key, value in left.items() if value is not None}


def name_of_recipe(recipe):
    """Return in a word what recipe a job has."""
    return os.path.basename(recipe) if isinstance(recipe, str) else recipe.get("name", "")


def _new_folder(cache, label):
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", label)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    folder = os.path.join(cache, f"{name}-{stamp}")
    count = 2
    while folder in _promised or os.path.exists(folder):
        folder = os.path.join(cache, f"{name}-{stamp}-{count}")
        count += 1
    _promised.add(folder)
    return folder
