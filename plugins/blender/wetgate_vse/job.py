# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of the engine, followed from a thread that never touches Blender.

The thread posts what happens to a queue; Blender's own thread takes it from there (`drain`).
"""

import os
import queue
import re
import threading
import time

from . import wetgate_client

WORDS = {
    "queued": "Waiting for other jobs",
    "running": "Restoring",
    "cancelling": "Stopping after the frames in work",
    "cancelled": "Cancelled",
    "done": "Done",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


_DIGITS = re.compile(r"\d+(?!.*\d)")
"""The number of a frame: the last digits of a name."""


class Task:
    """One strip to restore.

    Attributes:
        source: what to restore (`strips.Source`). options: the job as the engine is asked.
        found: path of the restored frame for each path of the source.
        fetch: take the result of an earlier job of the same frames instead of making one.
        state: "waiting", or as the engine says: queued, running, done, failed, cancelled.
    """

    def __init__(self, source, options, fetch=False):
        self.source = source
        self.fetch = fetch
        self.options = options
        self.state = "waiting"
        self.id = None
        self.found = {}
        self.error = None
        self.report = None
        self.directory = options["out"]


class Status:
    """What the panel shows of the work in hand and of the last one.

    Attributes:
        phase: "idle", "rendering" (Blender), "running" (the engine) or "over".
        done, total: frames of the task in work. stage: in words. outcome: how it all ended.
        messages: (kind, text) with kind "error", "warning" or "info"; the last ones first.
    """

    def __init__(self):
        self.phase = "idle"
        self.tasks = []
        self.current = 0
        self.done = 0
        self.total = 0
        self.stage = ""
        self.outcome = ""
        self.eta = None
        self.stopping = False
        self.messages = []
        self.began = 0.0
        self.preview = ""
        self.asking = False

    @property
    def busy(self):
        """Whether something is being done."""
        return self.phase in ("rendering", "running")

    @property
    def fraction(self):
        """Return how much of all tasks is done, 0 to 1."""
        if not self.tasks:
            return 0.0
        part = self.done / self.total if self.total else 0.0
        return min(1.0, (self.current + part) / len(self.tasks))

    @property
    def line(self):
        """Return in a few words what is going on."""
        finishing = self.stage == WORDS["running"] and 0 < self.total <= self.done
        words = "Checking and reporting" if finishing else self.stage
        if len(self.tasks) > 1:
            words = f"{self.current + 1}/{len(self.tasks)}  {words}"
        if self.total and not finishing:
            words += f"  {self.done}/{self.total}"
        if self.eta is not None and self.eta >= 1:
            words += f", {seconds_text(self.eta)} left"
        return words

    def say(self, kind, text):
        """Keep a message; the same one is kept once, the oldest go."""
        text = " ".join(str(text).split())
        self.messages = [(k, t) for k, t in self.messages if t != text]
        self.messages.insert(0, (kind, text))
        del self.messages[8:]


def seconds_text(seconds):
    """Return a time as "45 s" or "3 min 20 s"."""
    whole = int(round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"


def out_name(source, directory):
    """Return where the engine writes: a directory, or a pattern where the suffix changes."""
    suffix = source.suffix
    if suffix is None:
        return directory
    if source.kind == "movie":
        stem = os.path.splitext(os.path.basename(source.plate))[0]
        return os.path.join(directory, stem.replace("%", "%%") + ".%06d" + suffix)
    stem = os.path.splitext(os.path.basename(source.files[0]))[0]
    digits = _DIGITS.search(stem)
    if digits is None:
        return os.path.join(directory, stem.replace("%", "%%") + suffix)
    before, behind = stem[: digits.start()], stem[digits.end() :]
    width = len(digits.group())
    field = f"%0{width}d" if width > 1 else "%d"
    name = before.replace("%", "%%") + field + behind.replace("%", "%%") + suffix
    return os.path.join(directory, name)


def match_results(source, frames):
    """Return the restored path for each path of the source; frames that failed are absent."""
    good = [f for f in frames if f.get("path") and f.get("status") != "failed"]
    if source.kind == "movie":
        return {"{}#{}".format(source.plate, f["number"]): f["path"] for f in good}
    by_stem = {os.path.splitext(os.path.basename(f["path"]))[0]: f["path"] for f in good}
    stems = {path: os.path.splitext(os.path.basename(path))[0] for path in source.files}
    return {path: by_stem[stem] for path, stem in stems.items() if stem in by_stem}


class Worker(threading.Thread):
    """Runs tasks one after the other and posts what happens.

    Args:
        connect: returns a connected client; called in the thread.
        tasks: those to run. box: queue for (index of the task or None, facts).
    """

    def __init__(self, connect, tasks, box):
        threading.Thread.__init__(self, name="wetgate", daemon=True)
        self._connect = connect
        self._tasks = tasks
        self._box = box
        self._stop_asked = threading.Event()

    def cancel(self):
        """Ask the engine to stop after the frames in work."""
        self._stop_asked.set()

    def run(self):
        """Run all tasks; what goes wrong is posted in words, never raised."""
        for index, task in enumerate(self._tasks):
            try:
                if self._stop_asked.is_set():
                    self._box.put((index, {"state": "cancelled"}))
                else:
                    self._one(index, task)
            except Exception as error:  # a thread has nobody to raise to
                self._box.put((index, {"state": "failed", "error": error_text(error)}))
        self._box.put((None, {"over": True}))

    def _earlier(self, client, task):
        found = earlier_job(client.jobs(), task.options)
        if found is None:
            raise wetgate_client.WetgateError(
                "NoSuchJob", f'the engine knows no job of the frames of "{task.source.strip}"'
            )
        return found

    def _one(self, index, task):
        self._box.put((index, {"state": "queued", "stage": "Finding the engine"}))
        client = self._connect()
        record = self._earlier(client, task) if task.fetch else client.submit(**task.options)
        self._box.put((index, {"state": record["state"], "id": record["id"]}))
        asked = False
        for event in client.events(record["id"]):
            if self._stop_asked.is_set() and not asked:
                asked = True
                client.cancel(record["id"])
                self._box.put((index, {"state": "cancelling"}))
            facts = facts_of(event)
            if facts:
                self._box.put((index, facts))
        record = client.job(record["id"])
        found = match_results(task.source, client.results(record["id"]).get("frames", []))
        facts = {
            "state": record["state"],
            "found": found,
            "error": record.get("error"),
            "report": record.get("report"),
            "directory": record.get("directory") or task.directory,
            "ended": True,
        }
        if facts["state"] == "failed" and not facts["error"]:
            facts["error"] = "the engine failed with exit code {}".format(record.get("exit_code"))
        self._box.put((index, facts))


def earlier_job(records, options):
    """Return the newest job of the same frames that has or may get results; None without one."""
    same = [
        r
        for r in records
        if r["state"] in ("queued", "running", "done", "failed")
        and all(r["options"].get(n) == options.get(n) for n in ("files", "plate", "frames"))
    ]
    return max(same, key=lambda r: r["created"], default=None)


def facts_of(event):
    """Return what an event of the engine changes for the panel."""
    name = event.get("event")
    if name == "planned":
        return {"stage": "Planned", "done": 0, "total": len(event["plan"]["frames"]), "eta": None}
    if name == "analysis":
        return {
            "stage": "Measuring the shot: {}".format(event["stage"]),
            "done": event["done"],
            "total": event["of"],
            "eta": event.get("seconds_left"),
        }
    if name in ("frame", "frame_done"):
        facts = {
            "stage": "Restoring",
            "done": event["done"],
            "total": event["of"],
            "eta": event.get("seconds_left"),
        }
        report = event.get("report") or {}
        if report.get("error"):
            facts["warning"] = "frame {}: {}".format(report.get("number"), report["error"])
        return facts
    if name in ("warning", "warned"):
        return {"warning": event.get("message") or event.get("text")}
    if name == "state" and event.get("state") in WORDS:
        return {"state": event["state"]}
    return {}


def error_text(error):
    """Return an error of the client, or one nobody thought of, as a sentence for the artist."""
    if isinstance(error, wetgate_client.ServiceGone):
        return (
            "The engine has stopped in the middle of the work. Frames that are done are kept; "
            f"press Restore to start it again. ({error})"
        )
    if isinstance(error, wetgate_client.WetgateError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class PreviewWorker(threading.Thread):
    """Makes one frame and writes it as an EXR that Blender can show."""

    def __init__(self, connect, options, path, write, box):
        threading.Thread.__init__(self, name="wetgate-preview", daemon=True)
        self._connect = connect
        self._options = options
        self._path = path
        self._write = write
        self._box = box

    def run(self):
        """Make the frame; what goes wrong is posted in words, never raised."""
        try:
            began = time.time()
            picture = self._connect().preview(**self._options)
            try:
                height, width = picture.shape[0], picture.shape[1]
                self._write(self._path, picture.data, height, width, picture.facts["channels"])
                notes = list(picture.facts["notes"])
            finally:
                picture.close()
            facts = {"path": self._path, "size": (width, height), "notes": notes}
            facts["seconds"] = time.time() - began
            self._box.put(("preview", facts))
        except Exception as error:  # a thread has nobody to raise to
            self._box.put(("preview", {"error": error_text(error)}))


class Asker(threading.Thread):
    """Asks the engine something and posts the answer."""

    def __init__(self, ask, box):
        threading.Thread.__init__(self, name="wetgate-ask", daemon=True)
        self._ask = ask
        self._box = box

    def run(self):
        """Ask; what goes wrong is posted in words, never raised."""
        try:
            self._box.put(("engine", self._ask()))
        except Exception as error:  # a thread has nobody to raise to
            self._box.put(("engine", {"error": error_text(error)}))


def new_box():
    """Return a queue between the thread and Blender."""
    return queue.Queue()
