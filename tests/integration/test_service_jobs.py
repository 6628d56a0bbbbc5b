"""Jobs through the service: the command line's very frames, whatever dies meanwhile."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pytest
from support.jobs import finals
from support.plates import write_plate
from support.service import Running, client_module, running, wait_until
from wetgate import _native
from wetgate.io.formats import read_frame

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses a Unix socket")

SPACE = "ACES2065-1"
SMALL = {"recipe": "identity", "input_space": SPACE}
RECIPE = """
schema = "wetgate.recipe/1"
[[steps]]
operator = "denoise"
[steps.params]
step = 6
net = "none"
"""
"""Something that changes pixels and is soon done."""


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running("--idle", "0") as found:
        yield found


@pytest.fixture
def client(service: Running) -> Iterator[Any]:
    with service.client() as found:
        yield found


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shot") / "plate"
    return write_plate(
        folder, range(1001, 1009), width=128, height=96, suffix="exr", sample_type="half"
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("recipe") / "quick.toml"
    path.write_text(RECIPE)
    facts = {"recipe": str(path), "input_space": SPACE, "threads": 1, "provenance": "none"}
    return dict(facts)


@pytest.fixture(scope="module")
def by_command_line(
    plate: Path, work: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("cli") / "out"
    words = ["restore", str(plate), "--out", str(out), "--recipe", work["recipe"], "--threads", "1"]
    words += ["--input-space", SPACE, "--provenance", "none"]
    done = subprocess.run([sys.executable, "-m", "wetgate.cli", *words], capture_output=True)
    assert done.returncode == 0, done.stderr
    return out


def ended(client: Any, job: dict[str, Any]) -> dict[str, Any]:
    return dict(client.wait(job["id"]))


def pictures(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in finals(out).items() if name.endswith(".exr")}


def test_frames_of_a_job_are_the_command_line_s(
    client: Any, plate: Path, work: dict[str, Any], by_command_line: Path, tmp_path: Path
) -> None:
    files = sorted(map(str, plate.glob("*.exr")))
    job = client.submit(files=files, out=str(tmp_path / "out"), label="first", **work)
    assert job["state"] in ("queued", "running") and job["label"] == "first"
    events = [e for e in client.events(job["id"]) if e["event"] != "heartbeat"]
    assert [e["n"] for e in events] == list(range(1, len(events) + 1))
    kinds = [e["event"] for e in events]
    assert kinds[0] == kinds[-1] == "state" and kinds.count("frame_done") == 8
    assert kinds.index("planned") < kinds.index("analysis") < kinds.index("frame_done")
    assert kinds[-2] == "finished" and events[-1]["state"] == "done"
    record = client.job(job["id"])
    assert (record["done"], record["total"], record["fraction"]) == (8, 8, 1.0)
    assert (record["exit_code"], record["error"]) == (0, None)
    assert record["pattern"] == "plate.%04d.exr" and record["frames"] == "1001-1008"
    assert pictures(tmp_path / "out") == pictures(by_command_line)
    results = client.results(job["id"])
    assert [f["path"] for f in results["frames"]] == [
        str(tmp_path / "out" / f"plate.{n}.exr") for n in range(1001, 1009)
    ]
    assert Path(results["report"]).is_file()
    assert "wetgate restore" in client.log(job["id"])
    later = [e["n"] for e in client.events(job["id"], after=5)]
    assert later == list(range(6, len(events) + 1))
    assert client.thumbnail(job["id"], 1003).startswith(b"\x89PNG")
    client.forget(job["id"])
    assert pictures(tmp_path / "out") == pictures(by_command_line)
    with pytest.raises(client_module.WetgateError, match="no job"):
        client.job(job["id"])


def test_a_plate_is_probed_and_planned(client: Any, plate: Path, tmp_path: Path) -> None:
    (plate.parent / "gap").mkdir(exist_ok=True)
    names = [plate / f"plate.{n}.exr" for n in (1002, 1003)]
    said = client.probe(files=[str(n) for n in names])
    assert (said["first"], said["last"], said["frames"]) == (1001, 1008, 8)
    assert said["chosen"] == "1002-1003" and said["pattern"] == str(plate / "plate.%04d.exr")
    assert (said["width"], said["height"], said["channels"]) == (128, 96, ["R", "G", "B"])
    assert said["input_space"] is None and "--input-space" in said["space_decision"]
    plan = client.plan(plate=str(plate), out=str(tmp_path / "new"), frames="1002,1004", **SMALL)
    assert plan["frames"] == [1002, 1004] and not (tmp_path / "new").exists()
    names = {recipe["name"]: recipe for recipe in client.recipes()}
    assert names["denoise"]["document"]["steps"][0]["operator"] == "denoise"


def test_a_recipe_as_a_document_renders_as_its_name(
    client: Any, plate: Path, work: dict[str, Any], by_command_line: Path, tmp_path: Path
) -> None:
    steps = [{"operator": "denoise", "params": {"step": 6, "net": "none"}}]
    document = {"schema": "wetgate.recipe/1", "steps": steps}
    asked = {**work, "recipe": document, "frames": "1004"}
    record = ended(client, client.submit(plate=str(plate), out=str(tmp_path / "out"), **asked))
    assert record["state"] == "done", record["error"]
    name = "plate.1004.exr"
    assert np.array_equal(
        read_frame(tmp_path / "out" / name, 1, color_space="x").pixels,
        read_frame(by_command_line / name, 1, color_space="x").pixels,
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"recipe": {"schema": "wetgate.recipe/1", "steps": [{"operator": "gone"}]}}, "gone"),
        ({"frames": "1900"}, "1900"),
    ],
)
def test_a_job_that_cannot_start_fails_with_the_engine_s_words(
    client: Any, plate: Path, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    facts = {"recipe": "deblur", "input_space": SPACE, **asked}
    record = ended(client, client.submit(plate=str(plate), out=str(tmp_path / "out"), **facts))
    assert record["state"] == "failed" and record["exit_code"] in (2, 3)
    assert said in record["error"] and said in client.log(record["id"])


def test_a_failed_frame_is_told_by_number(client: Any, tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "p", range(1, 4), suffix="exr", sample_type="half")
    (plate / "plate.0002.exr").write_bytes(b"\x76\x2f\x31\x01 torn")
    record = ended(client, client.submit(plate=str(plate), out=str(tmp_path / "out"), **SMALL))
    assert (record["state"], record["exit_code"]) == ("failed", 4)
    assert record["error"] == "1 of 3 frames failed"
    frames = {f["number"]: f for f in client.results(record["id"])["frames"]}
    assert frames[2]["status"] == "failed" and "plate.0002.exr" in frames[2]["error"]


def first_frame(client: Any, job: dict[str, Any]) -> None:
    for event in client.events(job["id"]):
        if event["event"] == "frame_done":
            return


def test_a_cancelled_job_stops_and_resumes_to_the_same_frames(
    client: Any, plate: Path, work: dict[str, Any], by_command_line: Path, tmp_path: Path
) -> None:
    asked = {"plate": str(plate), "out": str(tmp_path / "out"), **work}
    job = client.submit(**asked)
    waiting = client.submit(**{**asked, "out": str(tmp_path / "second")})
    first_frame(client, job)
    assert client.job(waiting["id"])["state"] == "queued"
    assert client.cancel(waiting["id"])["state"] == "cancelled"
    assert client.cancel(job["id"])["state"] == "cancelling"
    record = ended(client, job)
    assert (record["state"], record["exit_code"]) == ("cancelled", 130)
    assert 1 <= record["done"] < 8 and not (tmp_path / "second").exists()
    with pytest.raises(client_module.WetgateError, match="cancelled") as refused:
        client.cancel(job["id"])
    assert (refused.value.code, refused.value.status) == ("WrongState", 409)
    client.resume(job["id"])
    with pytest.raises(client_module.WetgateError):
        client.resume(job["id"])
    assert ended(client, job)["state"] == "done"
    assert pictures(tmp_path / "out") == pictures(by_command_line)


def test_a_killed_service_is_told_of_and_its_job_goes_on_in_the_next(
    plate: Path, work: dict[str, Any], by_command_line: Path, tmp_path: Path
) -> None:
    with running() as service:
        client = service.client()
        job = client.submit(plate=str(plate), out=str(tmp_path / "out"), **work)
        with pytest.raises(client_module.ServiceGone):
            for event in client.events(job["id"]):
                if event["event"] == "frame_done" and service.process.poll() is None:
                    children = psutil.Process(service.process.pid).children()
                    service.kill()
                    killed = time.monotonic()
        assert time.monotonic() - killed < 5
        wait_until(lambda: not any(c.is_running() for c in children), seconds=20)
        assert 1 <= len(pictures(tmp_path / "out")) < 8
        service.restart()
        record = client.job(job["id"])
        assert record["state"] == "interrupted" and "service ended" in record["error"]
        client.resume(job["id"])
        assert ended(client, job)["state"] == "done"
        assert pictures(tmp_path / "out") == pictures(by_command_line)


def test_a_service_that_ends_lets_its_job_be_resumed(
    plate: Path, work: dict[str, Any], tmp_path: Path
) -> None:
    with running() as service:
        client = service.client()
        job = client.submit(plate=str(plate), out=str(tmp_path / "out"), **work)
        first_frame(client, job)
        client.shutdown()
        assert service.process.wait(30) == 0
        service.restart()
        assert client.job(job["id"])["state"] == "interrupted"
        assert client.results(job["id"])["frames"]


class TestPreview:
    def test_with_the_shot_s_analysis_the_bits_are_the_render_s(
        self, client: Any, plate: Path, work: dict[str, Any], by_command_line: Path
    ) -> None:
        asked = {"plate": str(plate), "out": str(by_command_line), "frame": 1004, **work}
        written = read_frame(by_command_line / "plate.1004.exr", 1004, color_space=SPACE).pixels
        source = read_frame(plate / "plate.1004.exr", 1004, color_space=SPACE).pixels
        wanted = {
            "restored": written,
            "source": source,
            "difference": written - source,
            "matte": (written != source).any(-1, keepdims=True).astype(np.float32),
        }
        assert (written != source).any()
        for kind, expected in wanted.items():
            with client.preview(kind=kind, **asked) as preview:
                found = np.frombuffer(preview.data, np.float32).reshape(preview.shape).copy()
                other, generation = _native.frame_open(preview.path)
                assert generation == preview.facts["generation"]
                assert other.tobytes() == found.tobytes()
                assert kind == "source" or preview.facts["notes"] == []
            assert found.tobytes() == np.ascontiguousarray(expected).tobytes(), kind

    def test_without_it_the_notes_say_what_was_measured(
        self, client: Any, plate: Path, work: dict[str, Any], tmp_path: Path
    ) -> None:
        out = tmp_path / "none"
        with client.preview(plate=str(plate), out=str(out), frame=1001, **work) as preview:
            assert any("measured on frames 1001-" in note for note in preview.facts["notes"])
        assert not out.exists()

    @pytest.mark.parametrize(
        ("asked", "code"),
        [({"frame": 7}, "FrameReadError"), ({"frame": 1001, "recipe": "x"}, "RecipeError")],
    )
    def test_what_cannot_be_shown_is_refused(
        self,
        client: Any,
        plate: Path,
        work: dict[str, Any],
        tmp_path: Path,
        asked: dict[str, Any],
        code: str,
    ) -> None:
        facts = {"plate": str(plate), "out": str(tmp_path / "o"), **work, **asked}
        with pytest.raises(client_module.WetgateError) as refused:
            client.preview(**facts)
        assert refused.value.code == code

    def test_previews_of_a_dead_host_and_of_a_dead_service_go(
        self, plate: Path, tmp_path: Path
    ) -> None:
        with running() as service:
            code = (
                "import sys; sys.path.insert(0, sys.argv[1]); import wetgate_client as w\n"
                "c = w.Client(home=sys.argv[2]); c.connect(start=False)\n"
                "p = c.preview(plate=sys.argv[3], frame=1001, kind='source', recipe='identity')\n"
                "print(p.path, flush=True); input()\n"
            )
            folder = str(Path(client_module.__file__).parent)
            words = [sys.executable, "-c", code, folder, str(service.home), str(plate)]
            host = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert host.stdout is not None
            path = host.stdout.readline().decode().strip()
            assert os.path.exists(path)
            host.kill()
            host.communicate()
            assert wait_until(lambda: not os.path.exists(path), seconds=10) < 10
            client = service.client()
            kept = client.preview(plate=str(plate), frame=1001, kind="source", **SMALL)
            assert kept.shape == (96, 128, 3)
            service.kill()
            wait_until(lambda: not os.path.exists(kept.path), seconds=10)
            held = bytes(kept.data)  # what is mapped outlives its name
            kept.close()
            assert len(held) == 96 * 128 * 3 * 4 and any(held)
            service.restart()
            assert len(glob.glob(str(Path(path).parent.parent / f"*-{service.process.pid}-*"))) == 1


def test_nothing_is_left_behind_by_many_jobs_and_many_clients(
    client: Any, plate: Path, service: Running, tmp_path: Path
) -> None:
    """The small version of `wetgate bench service`."""
    asked = {"plate": str(plate), "frames": "1001", **SMALL}
    ended(client, client.submit(out=str(tmp_path / "warm"), **asked))
    before = client.status()
    for index in range(3):
        assert ended(client, client.submit(out=str(tmp_path / str(index)), **asked))["done"] == 1

    def round_trip() -> float:
        started = time.perf_counter()
        client.status()
        return time.perf_counter() - started

    # The best of some, for a machine that has much else to do.
    assert min(median(round_trip() for _ in range(20)) for _ in range(5)) < 0.020
    callers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; sys.path.insert(0, sys.argv[1]); import wetgate_client as w\n"
                "with w.Client(home=sys.argv[2]) as c:\n"
                "    c.connect(start=False)\n"
                "    print(sum(c.status()['pid'] == int(sys.argv[3]) and len(c.jobs()) > 0\n"
                "              for _ in range(25)))\n",
                str(Path(client_module.__file__).parent),
                str(service.home),
                str(service.process.pid),
            ],
            stdout=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    assert [int(caller.communicate()[0]) for caller in callers] == [25] * 4

    def settled() -> bool:
        after = client.status()
        return after["fds"] <= before["fds"] and after["threads"] <= before["threads"] + 1

    wait_until(settled, seconds=10)


def test_an_output_from_elsewhere_is_adopted_and_rendered_again(
    client: Any, by_command_line: Path
) -> None:
    before = pictures(by_command_line)
    job = client.adopt(str(by_command_line), label="from the farm")
    assert (job["state"], job["done"], job["label"]) == ("done", 8, "from the farm")
    assert client.adopt(str(by_command_line))["id"] == job["id"]
    assert len(client.results(job["id"])["frames"]) == 8
    client.resume(job["id"])
    record = ended(client, job)
    assert record["state"] == "done", record["error"]
    assert pictures(by_command_line) == before


@pytest.mark.parametrize("how", ["idle", "terminated", "interrupted"])
def test_a_service_that_ends_leaves_nothing(how: str) -> None:
    with running("--idle", "0.02" if how == "idle" else "0") as service:
        shared = f"*/wetgate-*-{service.process.pid}-*"
        places = (Path("/dev/shm").parent, service.home)
        assert any(list(place.glob(shared)) for place in places)
        if how != "idle":
            service.process.send_signal(signal.SIGTERM if how == "terminated" else signal.SIGINT)
        assert service.process.wait(20) == 0
        assert not list(service.home.glob("service-*.json"))
        assert not list((service.home / "run").glob("*.sock"))
        assert not any(list(place.glob(shared)) for place in places)
