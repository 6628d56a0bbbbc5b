"""The parts of the Blender add-on that need no Blender: files, names, and the worker thread."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wetgate.color.config import load_config
from wetgate.install.pack import plugins_folder
from wetgate.io.formats import read_frame
from wetgate.io.notation import print_name

FOLDER = plugins_folder()


@pytest.fixture(scope="module")
def part() -> Iterator[Any]:
    """Modules of the add-on, loaded beside the client as the zip has them."""
    package = types.ModuleType("wetgate_vse_parts")
    package.__path__ = [str(FOLDER / "blender" / "wetgate_vse"), str(FOLDER / "_client")]
    sys.modules[package.__name__] = package
    yield lambda name: importlib.import_module(f"{package.__name__}.{name}")
    for name in [n for n in sys.modules if n.split(".")[0] == package.__name__]:
        del sys.modules[name]


class Source:
    """What `strips.Source` is, without a strip."""

    def __init__(
        self, files: list[str], *, kind: str = "files", suffix: str | None = None, plate: str = ""
    ) -> None:
        self.files, self.kind, self.suffix, self.plate = files, kind, suffix, plate


# ---- pictures


@pytest.mark.parametrize("channels", [("R", "G", "B"), ("R", "G", "B", "A"), ("Y",)])
def test_a_preview_file_holds_every_bit(
    part: Any, tmp_path: Path, channels: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.standard_normal((7, 11, len(channels))).astype(np.float32)
    pixels[0, 0], pixels[1, 2] = -0.05, 6.5e4
    path = tmp_path / "preview.0001.exr"
    part("exr_file").write(str(path), memoryview(pixels.tobytes()), 7, 11, list(channels))
    frame = read_frame(path, 1, color_space="ACES2065-1")
    assert sorted(frame.channels) == sorted(channels)
    order = [frame.channels.index(name) for name in channels]
    np.testing.assert_array_equal(frame.pixels[..., order], pixels)


def test_data_of_another_size_is_refused(part: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="11 floats for 4 x 3 px of 1 channels"):
        part("exr_file").write(str(tmp_path / "x.exr"), bytes(44), 3, 4, ["Y"])


def test_the_memory_of_a_preview_is_let_go_of(part: Any, tmp_path: Path) -> None:
    held = bytearray(4 * 12)
    part("exr_file").write(str(tmp_path / "x.exr"), held, 3, 4, ["Y"])
    held.clear()  # raises BufferError while somebody still looks at it


# ---- colour


def test_every_id_is_a_space_of_the_engine(part: Any) -> None:
    config = load_config()
    for name, interop in part("spaces").INTEROP.items():
        assert config.find(interop) is not None, (name, interop)


def test_the_color_space_of_a_strip(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = part("spaces")
    monkeypatch.delenv("OCIO", raising=False)
    assert spaces.space_of("Linear Rec.709") == spaces.space_of("Linear") == "lin_rec709_scene"
    assert spaces.space_of("Non-Color") is None
    with pytest.raises(spaces.UnknownSpace, match="AgX Log"):
        spaces.space_of("AgX Log")
    monkeypatch.setenv("OCIO", "/studio/config.ocio")
    assert spaces.space_of("AgX Log") == "AgX Log"
    assert spaces.own_config() == "/studio/config.ocio"


# ---- names


@pytest.mark.parametrize(
    ("first", "suffix", "out", "name"),
    [
        ("/a/plate.0012.jpg", ".exr", "/o/plate.%04d.exr", "plate.0012.exr"),
        ("/a/12.cin", ".dpx", "/o/%02d.dpx", "12.dpx"),
        ("/a/100%_0012_v2x.tga", ".exr", "/o/100%%_0012_v%dx.exr", "100%_0012_v12x.exr"),
        ("/a/still.webp", ".exr", "/o/still.exr", "still.exr"),
        ("/a/plate.0012.exr", None, "/o", None),
    ],
)
def test_where_frames_go(
    part: Any, first: str, suffix: str | None, out: str, name: str | None
) -> None:
    made = part("job").out_name(Source([first], suffix=suffix), "/o")
    assert Path(made) == Path(out)
    if name is not None:
        assert print_name(Path(made).name, 12, sign_beside_digits=False) == name


def test_percent_signs_of_a_name_stay_themselves(part: Any) -> None:
    made = part("job").out_name(Source(["/a/100%.0012.tga"], suffix=".exr"), "/o")
    assert print_name(Path(made).name, 12, sign_beside_digits=False) == "100%.0012.exr"


def test_results_find_their_sources_whatever_the_suffix(part: Any) -> None:
    source = Source(["/a/x.0003.jpg", "/a/x.0001.jpg", "/a/x.0002.jpg"])
    frames = [
        {"number": 1, "status": "written", "path": "/o/x.0001.exr"},
        {"number": 2, "status": "failed", "path": None},
        {"number": 3, "status": "passed-through", "path": "/o/x.0003.exr"},
    ]
    found = part("job").match_results(source, frames)
    assert found == {"/a/x.0001.jpg": "/o/x.0001.exr", "/a/x.0003.jpg": "/o/x.0003.exr"}


def test_pictures_of_a_movie_go_by_their_number(part: Any) -> None:
    source = Source([], kind="movie", plate="/a/m.mov")
    frames = [{"number": 7, "status": "written", "path": "/o/m.000007.exr"}]
    assert part("job").match_results(source, frames) == {"/a/m.mov#7": "/o/m.000007.exr"}


# ---- the worker


class FakeClient:
    """An engine that says what it is told to say."""

    def __init__(self, events: list[Any], record: dict[str, Any]) -> None:
        self._events, self._record = events, record
        self.cancelled: list[str] = []

    def submit(self, **_: Any) -> dict[str, Any]:
        return {"id": "j1", "state": "queued"}

    def events(self, _: str) -> Iterator[dict[str, Any]]:
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            if callable(event):
                event()
                continue
            yield event

    def cancel(self, name: str) -> None:
        self.cancelled.append(name)

    def job(self, _: str) -> dict[str, Any]:
        return {"id": "j1", "report": None, "directory": "/o", "error": None, **self._record}

    def results(self, _: str) -> dict[str, Any]:
        return {"frames": [{"number": 1, "status": "written", "path": "/o/x.0001.exr"}]}


def run_worker(job: Any, client: Any, count: int = 1) -> tuple[list[Any], Any]:
    source = Source(["/a/x.0001.exr"])
    tasks = [job.Task(source, {"out": "/o"}) for _ in range(count)]
    box = job.new_box()
    worker = job.Worker(lambda: client, tasks, box)
    return [worker, tasks], box


def drained(box: Any) -> list[Any]:
    found = []
    while not box.empty():
        found.append(box.get())
    return found


def test_a_job_is_followed_to_its_end(part: Any) -> None:
    job = part("job")
    events = [
        {"event": "planned", "plan": {"frames": [1, 2]}},
        {"event": "analysis", "stage": "cuts", "done": 1, "of": 2, "seconds_left": 3.0},
        {"event": "heartbeat"},
        {"event": "frame", "done": 1, "of": 2, "report": {"number": 1, "error": None}},
        {"event": "frame", "done": 2, "of": 2, "report": {"number": 2, "error": "damaged"}},
        {"event": "warning", "message": "odd"},
    ]
    (worker, _), box = run_worker(job, FakeClient(events, {"state": "done"}))
    worker.run()
    posted = drained(box)
    merged: dict[str, Any] = {}
    for _, facts in posted:
        merged.update(facts)
    assert [f["done"] for _, f in posted if "done" in f] == [0, 1, 1, 2]
    assert [f["warning"] for _, f in posted if f.get("warning")] == ["frame 2: damaged", "odd"]
    assert merged["state"] == "done" and merged["found"] == {"/a/x.0001.exr": "/o/x.0001.exr"}
    assert posted[-1] == (None, {"over": True})


def test_the_death_of_the_engine_is_told_in_words(part: Any) -> None:
    job, client = part("job"), part("wetgate_client")
    gone = client.ServiceGone("connection refused")
    (worker, _), box = run_worker(job, FakeClient([gone], {}), count=2)
    worker.run()
    errors = [f["error"] for _, f in drained(box) if f.get("error")]
    assert len(errors) == 2
    assert "engine has stopped" in errors[0] and "press Restore" in errors[0]


def test_refusals_of_the_engine_are_told_verbatim(part: Any) -> None:
    job, client = part("job"), part("wetgate_client")
    refusal = client.WetgateError("RecipeError", "no operator 'dust'; did you mean 'dirt'?")
    (worker, _), box = run_worker(job, FakeClient([refusal], {}))
    worker.run()
    assert [f["error"] for _, f in drained(box) if f.get("error")] == [refusal.message]


def test_cancel_asks_once_and_leaves_the_rest_alone(part: Any) -> None:
    job = part("job")
    holder: list[Any] = []
    events = [lambda: holder[0].cancel(), {"event": "heartbeat"}, {"event": "heartbeat"}]
    client = FakeClient(events, {"state": "cancelled"})
    (worker, _), box = run_worker(job, client, count=2)
    holder.append(worker)
    worker.run()
    states = [(i, f["state"]) for i, f in drained(box) if "state" in f]
    assert client.cancelled == ["j1"]
    assert states[-2:] == [(0, "cancelled"), (1, "cancelled")]


def test_an_earlier_job_of_the_same_frames_is_found(part: Any) -> None:
    def record(name: str, state: str, created: float, **options: Any) -> dict[str, Any]:
        return {"id": name, "state": state, "created": created, "options": options}

    files = ["/a/1.exr", "/a/2.exr"]
    records = [
        record("old", "done", 1.0, files=files),
        record("new", "running", 2.0, files=files, recipe="other"),
        record("stopped", "cancelled", 3.0, files=files),
        record("others", "done", 4.0, files=files[:1]),
        record("movie", "done", 5.0, plate="/a/m.mov", frames="1-8"),
    ]
    find = part("job").earlier_job
    assert find(records, {"files": files, "recipe": "x"})["id"] == "new"
    assert find(records[:1], {"files": files})["id"] == "old"
    assert find(records, {"plate": "/a/m.mov", "frames": "1-8"})["id"] == "movie"
    assert find(records, {"plate": "/a/m.mov", "frames": "2-8"}) is None


def test_a_failure_without_words_names_the_exit_code(part: Any) -> None:
    job = part("job")
    (worker, _), box = run_worker(job, FakeClient([], {"state": "failed", "exit_code": 5}))
    worker.run()
    assert any("exit code 5" in (f.get("error") or "") for _, f in drained(box))


def test_the_line_of_progress(part: Any) -> None:
    status = part("job").Status()
    status.tasks, status.current, status.done, status.total = [1, 2], 1, 6, 24
    status.stage, status.eta = "Restoring", 200.0
    assert status.line == "2/2  Restoring  6/24, 3 min 20 s left"
    assert status.fraction == pytest.approx((1 + 6 / 24) / 2)


def test_messages_are_kept_once_and_not_for_ever(part: Any) -> None:
    status = part("job").Status()
    for number in range(12):
        status.say("error", f"message {number}")
    status.say("error", "message  8")
    assert [text for _, text in status.messages][:2] == ["message 8", "message 11"]
    assert len(status.messages) == 8
