# SPDX-License-Identifier: GPL-3.0-or-later
"""The work in hand: from the selected strips to the strips of the results.

Blender's own thread does everything here. `tick` takes what the worker thread has posted, and
renders a frame where a strip has to be rendered first; a timer of the application calls it. (Not
a modal operator: while one runs, Blender holds back its autosave.)
"""

import os
import queue
import time

import bpy

from . import exr_file, flatten, job, prefs, request, results, strips, vse_compat, wetgate_client

STATUS = job.Status()
_PACE = 0.1
_box = job.new_box()
_worker = None
_pending = []
_shown = {}


class Busy(RuntimeError):
    """Something else is being done."""


def version():
    """Return the version of the engine, once it has answered; None before."""
    return prefs.ANSWER["version"]


def start(scene, settings, preferences, chosen, fetch=False):
    """Begin to restore strips.

    Args:
        fetch: take the results of earlier jobs of the same frames: of those that went on when
            Blender was closed.

    Raises:
        Busy: while other strips are being restored.
        strips.Unsuitable: when one of them cannot be.
    """
    global _worker
    if STATUS.busy:
        raise Busy("other strips are being restored")
    engine_or_words(preferences)
    sources = [strips.describe(scene, strip, settings) for strip in chosen]
    if fetch and any(source.kind == "render" for source in sources):
        raise strips.Unsuitable("results of strips that Blender renders first cannot be fetched")
    tasks = [job.Task(s, request.job_options(s, settings, preferences), fetch) for s in sources]
    _empty(_box)
    STATUS.tasks, STATUS.current, STATUS.done, STATUS.total = tasks, 0, 0, 0
    STATUS.outcome, STATUS.eta, STATUS.stopping = "", None, False
    STATUS.stage, STATUS.began = "Starting", time.time()
    STATUS.messages = [m for m in STATUS.messages if m[0] == "info"]
    _pending[:] = _renders(scene, tasks)
    _worker = job.Worker(prefs.connector(preferences), tasks, _box)
    if _pending:
        STATUS.phase, STATUS.stage = "rendering", "Rendering the strip"
        STATUS.total = len(_pending)
    else:
        STATUS.phase = "running"
        _worker.start()
    _watch()


def cancel():
    """Stop after the frames in work."""
    STATUS.stopping = True
    STATUS.stage = job.WORDS["cancelling"]
    if STATUS.phase == "rendering":
        _pending.clear()
        _finish("Cancelled")
    elif _worker is not None:
        _worker.cancel()
        _show()


def ask_engine(preferences):
    """Ask the engine for its version and recipes, in a thread."""
    engine_or_words(preferences)
    connect = prefs.connector(preferences)

    def ask():
        client = connect()
        return {"version": client.status().get("version"), "recipes": client.recipes()}

    STATUS.asking = True
    job.Asker(ask, _box).start()
    _watch()


def show_frame(scene, strip, settings, preferences):
    """Begin to make a preview of the current frame of a strip.

    Raises:
        strips.Unsuitable: when the strip does not show files, or cannot be restored.
    """
    engine_or_words(preferences)
    frame = scene.frame_current
    if not vse_compat.left(strip) <= frame < vse_compat.right(strip):
        raise strips.Unsuitable(f'the current frame is not in "{strip.name}"')
    source = strips.describe(scene, strip, _OneFrame(settings))
    if source.kind == "render":
        raise strips.Unsuitable(
            "a preview needs an image or movie strip; this one is rendered first: restore it"
        )
    options = request.job_options(source, settings, preferences)
    folder = os.path.join(prefs.cache_folder(preferences), "preview")
    os.makedirs(folder, exist_ok=True)
    options["kind"] = settings.view
    options["frame"] = _number_shown(source, strip, frame)
    path = os.path.join(folder, f"{settings.view}-{time.time_ns():x}.exr")
    _shown["preview"] = (scene.name, strip.name, frame, settings.view, source.space)
    STATUS.preview = "Making the preview"
    connect = prefs.connector(preferences)
    job.PreviewWorker(connect, options, path, exr_file.write, _box).start()
    _watch()


def tick():
    """Do what is due; return the seconds to the next call, or None when nothing is."""
    changed = STATUS.phase == "rendering"
    if changed:
        _render_one()
    while True:
        try:
            what, facts = _box.get_nowait()
        except queue.Empty:
            break
        changed = True
        _take(what, facts)
    if changed:
        _show()
    return _PACE if STATUS.busy or STATUS.preview or STATUS.asking else None


def run_to_end():
    """Do all the work before returning: for Blender without windows."""
    while tick() is not None:
        time.sleep(0.02)


def engine_or_words(preferences):
    """Return the path of the engine.

    Raises:
        strips.Unsuitable: when there is none.
    """
    path = prefs.engine_path(preferences)
    if not path:
        raise strips.Unsuitable(prefs.NO_ENGINE)
    if not os.path.isfile(path):
        raise strips.Unsuitable(f"the engine is not there: {path}")
    return path


def stop():
    """Let go of everything, when the add-on is switched off; jobs of the engine go on."""
    if bpy.app.timers.is_registered(_timer):
        bpy.app.timers.unregister(_timer)
    _pending.clear()


class _OneFrame:
    """The settings of the panel for a preview: no range, no trimmed frames."""

    scope = "STRIPS"
    whole = False

    def __init__(self, settings):
        self.space_mode = settings.space_mode
        self.space_name = settings.space_name


def _renders(scene, tasks):
    """Return (task, frame, path) of every frame that Blender has to render first."""
    found = []
    for task in tasks:
        if task.source.kind != "render":
            continue
        folder = task.directory + "-rendered"
        os.makedirs(folder, exist_ok=True)
        paths = flatten.paths_of(scene, task.source, folder)
        task.source.files = task.source.listed = [paths[t] for t in sorted(paths)]
        task.options["files"] = task.source.files
        found += [(task, frame, paths[frame]) for frame in sorted(paths)]
    return found


def _render_one():
    task, frame, path = _pending.pop(0)
    try:
        flatten.render_frame(bpy.data.scenes[task.source.scene], task.source, frame, path)
    except (RuntimeError, KeyError) as error:
        _pending.clear()
        STATUS.say("error", str(error))
        _finish("Failed")
        return
    STATUS.done += 1
    if not _pending:
        STATUS.phase, STATUS.stage, STATUS.done, STATUS.total = "running", "Starting", 0, 0
        _worker.start()


def _take(what, facts):
    if what == "preview":
        _take_preview(facts)
    elif what == "engine":
        _take_engine(facts)
    elif what is None:
        _all_ended()
    else:
        _take_task(what, facts)


def _take_task(index, facts):
    task = STATUS.tasks[index]
    if index != STATUS.current:
        STATUS.current, STATUS.done, STATUS.total, STATUS.eta = index, 0, 0, None
    task.id = facts.get("id", task.id)
    if "state" in facts:
        task.state = facts["state"]
        STATUS.stage = job.WORDS.get(task.state, task.state)
    if not STATUS.stopping:
        STATUS.stage = facts.get("stage", STATUS.stage)
    for name in ("done", "total", "eta"):
        if name in facts:
            setattr(STATUS, name, facts[name])
    if facts.get("warning"):
        STATUS.say("warning", facts["warning"])
    if facts.get("error"):
        task.error = facts["error"]
        STATUS.say("error", facts["error"])
    if facts.get("ended"):
        task.found, task.report = facts["found"], facts["report"]
        task.directory = facts["directory"]


def _take_engine(facts):
    STATUS.asking = False
    if facts.get("error"):
        prefs.ANSWER.update(version=None, words=facts["error"])
        STATUS.say("error", facts["error"])
        return
    words = f"wetgate {facts['version']} answers"
    prefs.ANSWER.update(version=facts["version"], words=words)
    prefs.keep_recipes(facts["recipes"])
    for scene in bpy.data.scenes:
        if not scene.wetgate.steps:
            prefs.update_steps(scene.wetgate, None)


def _take_preview(facts):
    STATUS.preview = ""
    if facts.get("error"):
        STATUS.say("error", facts["error"])
        return
    for note in facts["notes"]:
        STATUS.say("info", note)
    _shown["picture"] = (facts["path"], facts["size"])
    _operator("show_preview")


def _all_ended():
    states = [t.state for t in STATUS.tasks]
    ready = [t for t in STATUS.tasks if t.state != "cancelled" and t.found]
    if ready:
        _operator("insert_results")
    bad = [t for t in STATUS.tasks if t.state in ("failed", "interrupted")]
    if all(s == "done" for s in states):
        _finish(f"Done in {job.seconds_text(time.time() - STATUS.began)}")
    elif bad and all(t.found for t in bad):
        _finish("Done, but for frames that failed")
    elif bad:
        _finish(
            "Failed" if len(bad) == len(states) else f"{len(bad)} of {len(states)} strips failed"
        )
    else:
        _finish("Cancelled")


def put_results(scene_of):
    """Insert the strips of all results; return the names of the new strips.

    Args:
        scene_of: returns the scene of a name, or None.
    """
    made = []
    for task in STATUS.tasks:
        if not task.found or task.state == "cancelled":
            continue
        scene = scene_of(task.source.scene)
        facts = {
            "job": task.id or "",
            "directory": task.directory,
            "report": task.report or "",
            "recipe": request.name_of_recipe(task.options["recipe"]),
            "strength": task.options["strength"],
        }
        try:
            if scene is None:
                raise results.NoPlace("the scene is gone; the frames are in " + task.directory)
            new, notes = results.insert(scene, task.source, task.found, facts)
        except results.NoPlace as error:
            STATUS.say("error", error)
            continue
        made.append(new.name)
        absent = len(task.source.files) - len(task.found) if task.source.files else 0
        if absent > 0:
            notes.append(
                f"{absent} of {len(task.source.files)} frames failed; they show the source"
            )
        for note in notes:
            STATUS.say("warning", note)
        for note in task.source.notes:
            STATUS.say("info", note)
    return made


def put_preview(scene_of):
    """Show the picture of the last preview."""
    name, strip_name, frame, kind, space = _shown["preview"]
    path, size = _shown["picture"]
    scene = scene_of(name)
    editor = scene.sequence_editor if scene else None
    strip = next((s for s in vse_compat.all_strips(editor) if s.name == strip_name), None)
    if strip is not None:
        try:
            results.preview(scene, strip, path, frame, kind, space, size)
        except ValueError as error:
            STATUS.say("error", error)


def _number_shown(source, strip, frame):
    """Return the number of the frame that a strip shows, as the engine counts."""
    if source.kind == "movie":
        return strips.movie_number(strip, frame)
    shown = strips.file_of(strip, frame)
    source.files = [shown]
    digits = wetgate_client.frame_number(shown)
    if digits is None:
        raise strips.Unsuitable(f"{os.path.basename(shown)} has no frame number")
    return digits


def _finish(outcome):
    STATUS.phase, STATUS.outcome, STATUS.eta = "over", outcome, None
    _show()


def _operator(name):
    """Run an operator of this add-on as one undo step of its own."""
    run = getattr(bpy.ops.wetgate, name)
    windows = bpy.context.window_manager.windows
    if bpy.context.window is None and len(windows):
        with bpy.context.temp_override(window=windows[0]):
            run("EXEC_DEFAULT", True)
    else:
        run("EXEC_DEFAULT", True)


def _watch():
    if bpy.app.background:
        return
    if not bpy.app.timers.is_registered(_timer):
        bpy.app.timers.register(_timer, first_interval=_PACE, persistent=True)


def _timer():
    try:
        return tick()
    except Exception as error:  # a timer that raises is never called again
        STATUS.say("error", job.error_text(error))
        _finish("Failed")
        return None


def _show():
    manager = bpy.context.window_manager
    manager.wetgate_progress = 100.0 * STATUS.fraction
    if not bpy.app.background:
        vse_compat.redraw(manager.windows)


def _empty(box):
    while True:
        try:
            box.get_nowait()
        except queue.Empty:
            return
