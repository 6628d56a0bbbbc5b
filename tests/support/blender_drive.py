"""Drive the add-on inside of a real Blender; run by Blender's own Python, which has no wetgate.

    blender --python blender_drive.py -- SPEC.json        (a window, or -b)
    python-with-bpy blender_drive.py -- SPEC.json

SPEC names the zip, the engine, folders, the plates and the steps; what was seen goes to
SPEC["out"] as JSON. Steps are generators: each `yield` lets Blender live on for a moment.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback

import bpy

with open(sys.argv[sys.argv.index("--") + 1], encoding="utf-8") as _file:
    SPEC = json.load(_file)
SEEN = {"version": bpy.app.version_string, "python": sys.version.split()[0], "steps": {}}
EXTENSION = bpy.app.version >= (4, 2)
MODULE = "bl_ext.user_default.wetgate_vse" if EXTENSION else "wetgate_vse"


def addon(name=""):
    __import__(MODULE)
    return sys.modules[MODULE + ("." + name if name else "")]


def editor():
    scene = bpy.context.scene
    return scene.sequence_editor or scene.sequence_editor_create()


def compat():
    return addon("vse_compat")


def strips():
    return compat().strips_of(editor())


def by_name(name):
    return next((s for s in strips() if s.name == name), None)


# ---- steps


def install():
    """Install the zip by the way of this version; enable it; set the preferences."""
    if SPEC.get("installed"):
        if MODULE not in bpy.context.preferences.addons:
            bpy.ops.preferences.addon_enable(module=MODULE)
    elif EXTENSION:
        bpy.ops.extensions.package_install_files(
            filepath=SPEC["zip"], repo="user_default", enable_on_install=True
        )
    else:
        bpy.ops.preferences.addon_install(filepath=SPEC["zip"])
        bpy.ops.preferences.addon_enable(module=MODULE)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    if not SPEC.get("installed"):
        preferences.engine = SPEC["engine"]
    preferences.cache = SPEC["cache"]
    _time_turns()
    preferences.threads = 1
    yield
    return {
        "enabled": MODULE in bpy.context.preferences.addons,
        "engine": addon("prefs").engine_path(preferences),
        "panel": hasattr(bpy.types, "WETGATE_PT_main"),
    }


def timeline():
    """Lay the strips: EXR, a trimmed DPX, and a second view of the same DPX files."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 60
    scene.render.resolution_x, scene.render.resolution_y = SPEC["size"]
    exr = _images("EXR", SPEC["exr"], 1, 1)
    exr.use_float = True
    exr.transform.offset_x, exr.transform.scale_x, exr.transform.rotation = 12, 1.25, 0.125
    exr.crop.min_x, exr.crop.max_y = 7, 5
    exr.blend_type, exr.blend_alpha = "ALPHA_OVER", 0.75
    exr.use_flip_x, exr.color_saturation = True, 0.5
    with compat().scene_for_modifiers(bpy.context.scene):
        exr.modifiers.new("Grade", "BRIGHT_CONTRAST").contrast = 4.0
    exr.keyframe_insert("blend_alpha", frame=1)
    exr.blend_alpha = 0.25
    exr.keyframe_insert("blend_alpha", frame=20)
    trimmed = _images("DPX", SPEC["dpx"], 2, 10)
    trimmed.frame_offset_start, trimmed.frame_offset_end = 3, 5
    trimmed.alpha_mode = "PREMUL"
    second = _images("DPX again", SPEC["dpx"], 4, 30)
    second.frame_offset_start = 2
    second.frame_offset_end = 7
    second.use_reverse_frames = True
    yield
    return {"strips": [s.name for s in strips()]}


def restore():
    """Restore all three; undo, redo."""
    scene = bpy.context.scene
    _settings(scene)
    _undo_push()
    _select("EXR", "DPX", "DPX again")
    if bpy.app.background:
        bpy.ops.wetgate.restore()
    else:
        bpy.ops.wetgate.restore()
        for _ in _until_over(240):
            yield
    work = addon("work")
    seen = {"outcome": work.STATUS.outcome, "messages": list(work.STATUS.messages), "pairs": {}}
    for name in ("EXR", "DPX", "DPX again"):
        new = by_name(name + " restored")
        if new is not None:
            seen["pairs"][name] = {"old": _facts(by_name(name)), "new": _facts(new)}
    seen["tasks"] = [
        {"directory": t.directory, "options": t.options, "report": t.report, "state": t.state}
        for t in work.STATUS.tasks
    ]
    count = len(strips())
    if bpy.app.background:
        _undo_push()
    yield
    _undo("undo")
    yield
    undone = len(strips())
    left = sorted(s.name for s in strips())
    _undo("redo")
    yield
    seen["undo"] = {"before": count, "undone": undone, "left": left, "redone": len(strips())}
    seen["turn"] = _TICKS["longest"]
    seen["curves"] = len([c for cs in compat().strip_curves(bpy.context.scene) for c in cs])
    return seen


def cut():
    """Restore only what shows of the trimmed strip, then only what lies in the scene's range."""
    seen = {}
    scene = bpy.context.scene
    for name, scope, last in (("shown", "STRIPS", 60), ("range", "RANGE", 18)):
        _remove_results()
        _settings(scene)
        scene.wetgate.scope, scene.wetgate.whole, scene.frame_end = scope, False, last
        _select("DPX")
        for _ in _run(120):
            yield
        new = by_name("DPX restored")
        seen[name] = {
            "outcome": addon("work").STATUS.outcome,
            "new": _facts(new) if new else None,
            "old": _facts(by_name("DPX")),
        }
    scene.frame_end = 60
    return seen


def meta():
    """Restore a meta strip, which has to be rendered to linear EXR first."""
    _remove_results()
    scene = bpy.context.scene
    _settings(scene)
    _images("inside", SPEC["exr"][:4], 9, 100).use_float = True
    _select("inside")
    editor().active_strip = by_name("inside")
    owner = _meta_of_selected()
    scene.render.resolution_x, scene.render.resolution_y = SPEC["size"]
    scene.render.image_settings.file_format = "PNG"
    before = _render_facts(scene)
    _select("Meta")
    for _ in _run(240):
        yield
    new = by_name("Meta restored")
    task = addon("work").STATUS.tasks[0]
    seen = {
        "outcome": addon("work").STATUS.outcome,
        "messages": list(addon("work").STATUS.messages),
        "settings": [before, _render_facts(scene)],
        "muted": [s.name for s in strips() if s.mute],
        "rendered": task.source.files,
        "directory": task.directory,
        "span": [int(owner.frame_final_start), int(owner.frame_final_end)],
        "new": _facts(new) if new else None,
    }
    strips().remove(owner)
    return seen


def operators():
    """Switch operators of a built-in recipe off; ask the engine what is left."""
    work, scene = addon("work"), bpy.context.scene
    bpy.ops.wetgate.check_engine()
    until = time.time() + 60
    while work.STATUS.asking and time.time() < until:
        yield
    scene.wetgate.recipe = "film-scan"
    rows = scene.wetgate.steps
    seen = {"version": work.version(), "listed": [row.name for row in rows], "planned": {}}
    preferences = bpy.context.preferences.addons[MODULE].preferences
    client = addon("prefs").connector(preferences)()
    for off in ((), ("scratches",), ("scratches", "dirt")):
        for row in rows:
            row.use = row.name not in off
        plan = client.plan(
            files=SPEC["exr"],
            out=SPEC["cache"] + "/planned",
            recipe=addon("request").recipe_of(scene.wetgate),
            input_space="lin_rec709_scene",
        )
        seen["planned"][",".join(off)] = [name for name, _ in plan["operators"]]
        yield
    for row in rows:
        row.use = False
    try:
        seen["none"] = addon("request").recipe_of(scene.wetgate)
    except addon("strips").Unsuitable as error:
        seen["none"] = str(error)
    _settings(scene)
    return seen


def damaged():
    """Restore a strip with a frame that cannot be read, and one that is removed meanwhile."""
    _remove_results()
    scene, work = bpy.context.scene, addon("work")
    _settings(scene)
    strip = _images("Damaged", SPEC["damaged"], 9, 200)
    _select("Damaged")
    for _ in _run(240):
        yield
    new = by_name("Damaged restored")
    seen = {
        "outcome": work.STATUS.outcome,
        "messages": list(work.STATUS.messages),
        "shown": _facts(new)["shown"] if new else None,
    }
    _remove_results()
    del work.STATUS.messages[:]
    _select("Damaged")
    _start()
    strips().remove(strip)
    for _ in _until_over(240):
        yield
    seen["gone"] = list(work.STATUS.messages)
    seen["left"] = sorted(s.name for s in strips())
    return seen


def fetch():
    """Take the result of an earlier job of the same files, without a new one."""
    _remove_results()
    _settings(bpy.context.scene)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    client = addon("prefs").connector(preferences)()
    # A job that another Blender has begun and does not live to see the end of.
    settings = bpy.context.scene.wetgate
    source = addon("strips").describe(bpy.context.scene, by_name("EXR"), settings)
    left = client.submit(**addon("request").job_options(source, settings, preferences))
    before = [record["id"] for record in client.jobs()]
    _select("EXR")
    _start(fetch=True)
    for _ in _until_over(120):
        yield
    new = by_name("EXR restored")
    seen = {
        "outcome": addon("work").STATUS.outcome,
        "messages": list(addon("work").STATUS.messages),
        "earlier": bool(new) and new["wetgate"]["job"] == left["id"],
        "more": len(client.jobs()) - len(before),
        "new": _facts(new) if new else None,
    }
    return seen


def movie():
    """Restore a trimmed movie strip, which comes back as EXR."""
    _remove_results()
    scene = bpy.context.scene
    _settings(scene)
    scene.render.fps, scene.render.fps_base = SPEC["rate"], 1.0
    strip = strips().new_movie(name="Movie", filepath=SPEC["movie"], channel=6, frame_start=60)
    strip.frame_offset_start, strip.frame_offset_end = 2, 1
    strip.transform.offset_y = 9
    _select("Movie")
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.cache = os.path.join(os.path.dirname(SPEC["movie"]), "wetgate")
    for _ in _run(240):
        yield
    preferences.cache = SPEC["cache"]
    new = by_name("Movie restored")
    seen = {
        "outcome": addon("work").STATUS.outcome,
        "messages": list(addon("work").STATUS.messages),
        "options": addon("work").STATUS.tasks[0].options,
        "old": [strip.frame_final_start, strip.frame_final_end, strip.transform.offset_y],
        "space": strip.colorspace_settings.name,
        "new": _facts(new) if new else None,
    }
    strips().remove(strip)
    return seen


def preview():
    """Make the current frame."""
    _remove_results()
    scene = bpy.context.scene
    _settings(scene)
    _select("EXR")
    editor().active_strip = by_name("EXR")
    scene.frame_set(5)
    seen = {}
    for kind in ("restored", "difference", "matte"):
        scene.wetgate.view = kind
        began = time.time()
        bpy.ops.wetgate.preview()
        work = addon("work")
        while work.STATUS.preview and time.time() - began < 60:
            yield
        found = [s for s in strips() if addon("results").kind_of(s) == "preview"]
        seen[kind] = {
            "strips": [_facts(s) for s in found],
            "messages": list(work.STATUS.messages),
            "seconds": time.time() - began,
        }
    bpy.ops.wetgate.clear_preview()
    seen["cleared"] = [s.name for s in strips() if s.name.startswith("Preview")]
    return seen


def cancel():
    """Cancel in mid-job."""
    _remove_results()
    _settings(bpy.context.scene)
    _select("EXR", "DPX")
    work = addon("work")
    _start()
    asked = None
    for _ in _until_over(120):
        if work.STATUS.done >= 1 and work.STATUS.stage.startswith("Rest") and asked is None:
            bpy.ops.wetgate.cancel()
            asked = time.time()
        yield
    return {
        "asked": asked is not None,
        "seconds": time.time() - asked if asked else None,
        "outcome": work.STATUS.outcome,
        "states": [t.state for t in work.STATUS.tasks],
        "written": [len(_frames(t.directory)) for t in work.STATUS.tasks],
        "left": sorted(s.name for s in strips()),
    }


def killed():
    """Kill the service in mid-job; then restore again."""
    _remove_results()
    _settings(bpy.context.scene)
    _select("EXR")
    work = addon("work")
    _start()
    dead = None
    for _ in _until_over(120):
        if work.STATUS.done >= 1 and work.STATUS.stage.startswith("Rest") and dead is None:
            os.kill(_service()["pid"], signal.SIGKILL)
            dead = time.time()
        yield
    seen = {
        "killed": dead is not None,
        "seconds": time.time() - dead if dead else None,
        "outcome": work.STATUS.outcome,
        "messages": list(work.STATUS.messages),
    }
    _remove_results()
    _select("EXR")
    for _ in _run(240):
        yield
    seen["next"] = work.STATUS.outcome
    seen["next_strip"] = by_name("EXR restored") is not None
    return seen


def refusals():
    """Ask for what cannot be done; every answer is in words."""
    _remove_results()
    work, scene = addon("work"), bpy.context.scene
    _settings(scene)
    seen = {}
    preferences = bpy.context.preferences.addons[MODULE].preferences
    engine = preferences.engine
    for name, change in (
        ("no engine", lambda: setattr(preferences, "engine", "/nowhere/wetgate")),
        ("no space", lambda: setattr(scene.wetgate, "space_mode", "NAME")),
        ("bad space", lambda: setattr(scene.wetgate, "space_name", "No Such Space")),
    ):
        _settings(scene)
        preferences.engine = engine
        if name == "bad space":
            scene.wetgate.space_mode = "NAME"
        change()
        _select("EXR")
        del work.STATUS.messages[:]
        try:
            for _ in _run(60):
                yield
        except Exception as error:
            seen[name + " raised"] = str(error)
        seen[name] = [text for _, text in work.STATUS.messages]
    preferences.engine = engine
    _settings(scene)
    del work.STATUS.messages[:]
    return seen


def window():
    """Fill the window with a sequencer and open the tab of the panel."""
    bpy.context.preferences.view.show_splash = False
    screen = bpy.context.window_manager.windows[0].screen
    area = max(screen.areas, key=lambda a: a.width * a.height)
    area.type = "SEQUENCE_EDITOR"
    area.spaces[0].view_type = "SEQUENCER_PREVIEW"
    area.spaces[0].show_region_ui = True
    _select("EXR")
    editor().active_strip = by_name("EXR")
    for _ in range(40):
        yield
    region = next(r for r in area.regions if r.type == "UI" and r.width > 1)
    if hasattr(region, "active_panel_category"):
        region.active_panel_category = "Wetgate"
    else:
        for click in SPEC["clicks"]:  # 3.4 has no other way to choose a tab
            os.system("xdotool mousemove {} {} click 1".format(*click))
            for _ in range(30):
                yield
    return {"size": [area.width, area.height], "region": [region.x, region.y, region.width]}


def look():
    """Take one picture."""
    yield from _picture("look")
    return {}


def preferences_picture():
    """Open the preferences from the panel and take a picture of them."""
    bpy.ops.wetgate.open_preferences()
    for _ in range(60):
        yield
    yield from _picture("preferences", -1)
    return {"windows": len(bpy.context.window_manager.windows)}


def pictures():
    """Take pictures of the panel idle, running, failed and done."""
    _remove_results()
    work = addon("work")
    _settings(bpy.context.scene)
    _select("EXR")
    editor().active_strip = by_name("EXR")
    bpy.ops.wetgate.check_engine()
    for _ in range(1200):
        if not work.STATUS.asking:
            break
        yield
    bpy.context.scene.wetgate.recipe = "film-scan"
    yield from _picture("idle")
    bpy.context.scene.wetgate.recipe = "FILE"
    _select("EXR", "DPX")
    _start()
    shown = dead = False
    for _ in _until_over(240):
        if not shown and work.STATUS.done >= 1 and work.STATUS.stage.startswith("Rest"):
            yield from _picture("running")
            shown = True
        if not dead and work.STATUS.current == 1 and work.STATUS.done >= 1:
            os.kill(_service()["pid"], signal.SIGKILL)
            dead = True
        yield
    _remove_results()
    _select("EXR")
    yield from _picture("failed")
    _select("EXR")
    for _ in _run(240):
        yield
    bpy.context.scene.frame_set(5)
    yield from _picture("done")
    bpy.ops.wetgate.compare()
    bpy.context.scene.wetgate.recipe = "film-scan"
    bpy.context.scene.wetgate.space_mode = "NAME"
    yield from _picture("compared")
    bpy.ops.wetgate.compare()
    return {"outcome": work.STATUS.outcome}


# ---- machinery


def _picture(name, window=0):
    for _ in range(20):
        yield
    found = bpy.context.window_manager.windows[window]
    with bpy.context.temp_override(window=found):
        bpy.ops.screen.screenshot(filepath=os.path.join(SPEC["shots"], name + ".png"))
    yield


_TICKS = {"longest": 0.0}


def _meta_of_selected():
    """Make a meta strip as an artist does, which takes a sequencer on the screen."""
    window = bpy.context.window_manager.windows[0]
    if "sequencer_scene" in bpy.types.WorkSpace.bl_rna.properties:
        window.workspace.sequencer_scene = bpy.context.scene
    area = window.screen.areas[0]
    kind = area.type
    area.type = "SEQUENCE_EDITOR"
    region = next(r for r in area.regions if r.type == "WINDOW")
    before = {s.name for s in strips()}
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.sequencer.meta_make()
    area.type = kind
    made = next(s for s in strips() if s.name not in before)
    made.name = "Meta"
    return made


def _time_turns():
    """Note for how long the add-on holds Blender's own thread at a time."""
    work = addon("work")
    tick = work.tick

    def timed():
        began = time.time()
        try:
            return tick()
        finally:
            _TICKS["longest"] = max(_TICKS["longest"], time.time() - began)

    work.tick = timed


def _images(name, paths, channel, start):
    strip = strips().new_image(name=name, filepath=paths[0], channel=channel, frame_start=start)
    for path in paths[1:]:
        strip.elements.append(os.path.basename(path))
    return strip


def _settings(scene):
    scene.wetgate.recipe = "FILE"
    scene.wetgate.recipe_file = SPEC["recipe"]
    scene.wetgate.scope = "STRIPS"
    scene.wetgate.whole = True
    scene.wetgate.space_mode = "STRIP"


def _select(*names):
    for strip in strips():
        strip.select = strip.name in names


def _remove_results():
    for strip in list(strips()):
        if strip.get("wetgate"):
            strips().remove(strip)
        else:
            strip.mute = False


def _start(fetch=False):
    scene = bpy.context.scene
    if bpy.app.background:  # there the button waits for the end
        work, ops = addon("work"), addon("ops")
        preferences = bpy.context.preferences.addons[MODULE].preferences
        try:
            work.start(scene, scene.wetgate, preferences, ops.chosen_strips(bpy.context), fetch)
        except addon("strips").Unsuitable as error:
            work.STATUS.say("error", error)
    else:
        button = bpy.ops.wetgate.fetch if fetch else bpy.ops.wetgate.restore
        with contextlib.suppress(RuntimeError):  # the words are in the panel
            button()


def _run(seconds):
    _start()
    return _until_over(seconds)


def _until_over(seconds):
    work = addon("work")
    until = time.time() + seconds
    while work.STATUS.busy:
        if time.time() > until:
            raise RuntimeError(f"not over in {seconds} s: {work.STATUS.line}")
        if bpy.app.background:
            work.tick()
        yield


def _service():
    folder = os.environ["WETGATE_HOME"]
    name = next(n for n in os.listdir(folder) if n.startswith("service-") and n.endswith(".json"))
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def _frames(folder):
    if not os.path.isdir(folder):
        return []
    return [n for n in os.listdir(folder) if n.endswith((".exr", ".dpx"))]


def _undo_push():
    if bpy.app.background:
        bpy.ops.ed.undo_push(message="before")
        return
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window):
        bpy.ops.ed.undo_push(message="before")


def _undo(which):
    run = getattr(bpy.ops.ed, which)
    if bpy.app.background:
        run()
        return
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window):
        run()


_NAMES = (
    "channel", "blend_type", "blend_alpha", "use_float", "alpha_mode", "use_flip_x", "use_flip_y",
    "use_reverse_frames", "color_saturation", "color_multiply", "strobe", "frame_start",
    "frame_final_start", "frame_final_end", "frame_offset_start", "frame_offset_end", "mute",
    "type",
)  # fmt: skip


def _facts(strip):
    facts = {n: getattr(strip, n) for n in _NAMES if hasattr(strip, n)}
    for part in ("transform", "crop"):
        struct = getattr(strip, part)
        for prop in struct.bl_rna.properties:
            if prop.identifier != "rna_type":
                value = getattr(struct, prop.identifier)
                plain = (
                    list(value)
                    if hasattr(value, "__len__") and not isinstance(value, str)
                    else value
                )
                facts[part + "." + prop.identifier] = plain
    facts["space"] = strip.colorspace_settings.name
    facts["modifiers"] = [(m.name, m.type, getattr(m, "contrast", None)) for m in strip.modifiers]
    folder = bpy.path.abspath(strip.directory)
    facts["elements"] = [os.path.normpath(os.path.join(folder, e.filename)) for e in strip.elements]
    facts["shown"] = [
        os.path.normpath(os.path.join(folder, strip.strip_elem_from_frame(t).filename))
        for t in range(int(strip.frame_final_start), int(strip.frame_final_end))
    ]
    facts["mark"] = strip["wetgate"].to_dict() if strip.get("wetgate") else None
    return facts


def _render_facts(scene):
    settings = scene.render.image_settings
    names = ("filepath", "use_sequencer", "resolution_percentage", "dither_intensity")
    facts = [getattr(scene.render, n) for n in names]
    facts += [settings.file_format, settings.color_mode, settings.color_depth]
    facts += [scene.sequencer_colorspace_settings.name, scene.frame_current]
    facts += [(s.name, s.blend_type, s.blend_alpha) for s in strips() if not s.get("wetgate")]
    return facts


def main():
    for name in SPEC["steps"]:
        began = time.time()
        try:
            seen = yield from globals()[name]()
        except BaseException:
            SEEN["steps"][name] = {"error": traceback.format_exc()}
            break
        SEEN["steps"][name] = dict(seen or {}, took=round(time.time() - began, 2))
    with open(SPEC["out"], "w", encoding="utf-8") as file:
        json.dump(SEEN, file, indent=1, default=str)
    SEEN["done"] = True


if bpy.app.background:
    for _ in main():
        time.sleep(0.02)
    sys.stdout.flush()
    os._exit(0)
else:
    _running = main()

    def _step():
        try:
            next(_running)
        except StopIteration:
            bpy.ops.wm.quit_blender()
            return None
        return 0.05

    bpy.app.timers.register(_step, first_interval=SPEC.get("wait", 8.0))
