"""The command line: verbs, JSON lines, exit codes, no traceback for what users do."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wetgate.cli.app import run

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "install" / "sample" / "dandelions.jpg"
SRGB = "sRGB Encoded Rec.709 (sRGB)"
CINEON = "Cineon Log - Film Scan"


def simulate(out: Path, *more: str) -> int:
    words = ["simulate", str(PHOTO), "--out", str(out), "--input-space", SRGB]
    return run([*words, "--size", "96x64", "--frames", "1001-1004", *more])


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shot") / "plate"
    assert simulate(folder) == 0
    return folder


@pytest.fixture(scope="module")
def long_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long") / "plate"
    assert simulate(folder, "--frames", "1001-1010", "--size", "256x144") == 0
    return folder


@pytest.fixture
def events(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, object]]]:
    def read() -> list[dict[str, object]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return read


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "wetgate.cli", *words]


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (["restore"], 2, "plate"),
            (["restor", "x"], 2, "restor"),
            (["restore", "x", "--out", "y", "--colour"], 2, "--colour"),
            (["restore", "nowhere", "--out", "y"], 3, "nowhere"),
            (["restore", "x", "--out", "y", "--memory", "lots"], 2, "lots"),
            (["restore", "x", "--out", "y", "--policy", "wild"], 2, "wild"),
            (["restore", "x", "--out", "y", "--resume", "--overwrite"], 2, "choose one"),
            (["recipes", "show", "denoize"], 2, "denoise"),
            (["inspect", "nowhere.dpx"], 3, "nowhere.dpx"),
            (["restore", "n" * 300, "--out", "y"], 3, "no such file"),
            (
                ["restore", str(PHOTO), "--out", "n" * 300 + "/p.png", "--recipe", "identity"],
                5,
                "too long",
            ),
            (["simulate", "x.jpg", "--out", "y", "--preset", "acid"], 2, "film-print"),
            (["simulate", "x.jpg", "--out", "y", "--size", "big"], 2, "--size"),
        ],
    )
    def test_each_is_one_line_and_the_right_code(
        self, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(words) == code
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.err.count("\n") == 1
        assert "Traceback" not in captured.err

    def test_with_json_the_error_is_an_object(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["restore", "nowhere", "--out", "y", "--json"]) == 3
        record = json.loads(capsys.readouterr().err)
        assert record["event"] == "error"
        assert record["exit_code"] == 3
        assert run(["restore", "--json"]) == 2
        assert json.loads(capsys.readouterr().err)["code"] == "UsageError"

    def test_a_film_scan_that_nothing_decides_is_refused_with_the_choices(
        self, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["restore", str(plate), "--out", str(tmp_path / "o")]) == 3
        said = capsys.readouterr().err
        assert CINEON in said
        assert "--input-space" in said
        assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--frames", "10a"], 2, "10a"),
        (["--frames", ""], 2, "frame range"),
        (["--layer", "left"], 3, "layer"),
        (["--out", ""], 2, "output is empty"),
        (["--out", "  "], 2, "output is empty"),
    ],
)
def test_slips_are_told_before_anything_is_written(
    more: list[str], code: int, said: str, plate: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["restore", str(plate), "--recipe", "identity", "--out", "o", *more]) == code
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_verify_wants_a_directory(plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(next(plate.glob("*.dpx")))]) == 3
    assert "is no directory" in capsys.readouterr().err


def test_a_name_too_long_for_the_system_is_one_line(
    plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / ("n" * 300))
    assert run(["restore", str(plate), "--out", out, "--recipe", "identity"]) == 5
    said = capsys.readouterr().err
    assert "too long" in said and said.count("\n") == 1


def test_a_reader_that_leaves_does_not_end_the_job(long_plate: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = command("restore", str(long_plate), "--out", str(out), "--recipe", "identity")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert (process.wait(), process.stderr.read()) == (0, b"")
    assert len(list(out.glob("*.dpx"))) == 10
    assert run(["verify", str(out)]) == 0


class TestLooking:
    def test_help_names_the_verbs(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["--help"]) == 0
        said = capsys.readouterr().out
        for verb in ("restore", "plan", "chunk", "verify", "inspect", "doctor", "simulate"):
            assert verb in said

    @pytest.mark.parametrize("words", [[], ["recipes"]])
    def test_a_verb_left_out_gets_the_help(
        self, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(words) == 2
        captured = capsys.readouterr()
        assert "Commands" in captured.out
        assert captured.err == ""

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        import wetgate

        assert run(["--version"]) == 0
        assert capsys.readouterr().out.strip() == f"wetgate {wetgate.__version__}"

    def test_doctor_passes_here(self, events: Callable[[], list[dict[str, object]]]) -> None:
        assert run(["doctor", "--json"]) == 0
        found = {e["name"]: e for e in events() if e["event"] == "check"}
        assert found["native module"]["ok"]
        assert "spaces" in str(found["OCIO config"]["found"])

    def test_recipes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["recipes", "list"]) == 0
        listed = capsys.readouterr().out
        assert "identity" in listed
        assert "denoise" in listed
        assert run(["recipes", "show", "denoise"]) == 0
        shown = capsys.readouterr().out
        assert 'schema = "wetgate.recipe/1"' in shown
        assert "digest" in shown

    def test_inspect_says_what_the_header_says(
        self, plate: Path, events: Callable[[], list[dict[str, object]]]
    ) -> None:
        assert run(["inspect", str(plate), "--json"]) == 0
        (found,) = [e for e in events() if e["event"] == "inspected"]
        assert found["frames"] == 4
        assert found["info"]["sample_type"] == "uint10"  # type: ignore[index]
        assert found["color_space"]["name"] is None  # type: ignore[index]
        assert found["losses"] == []

    def test_inspect_in_words(self, plate: Path, capsys: pytest.CaptureFixture[str]) -> None:
        frame = str(plate / "plate.1002.dpx")
        assert run(["inspect", frame, "--input-space", "cineon"]) == 0
        said = capsys.readouterr().out
        assert f"{CINEON} (explicit" in said
        assert "96 x 64" in said
        assert "01:00:00:01" in said

    def test_plan_touches_nothing(
        self, plate: Path, tmp_path: Path, events: Callable[[], list[dict[str, object]]]
    ) -> None:
        out = tmp_path / "out"
        words = ["plan", str(plate), "--out", str(out), "--input-space", CINEON, "--json"]
        before = sorted(p.name for p in plate.iterdir())
        assert run(words) == 0
        (planned,) = [e for e in events() if e["event"] == "planned"]
        assert list(planned["plan"]["frames"]) == [1001, 1002, 1003, 1004]  # type: ignore[index]
        assert not out.exists()
        assert sorted(p.name for p in plate.iterdir()) == before


class TestJobs:
    def restore(self, plate: Path, out: Path, *more: str) -> int:
        return run(["restore", str(plate), "--out", str(out), "--input-space", CINEON, *more])

    def test_identity_gives_every_byte_back(
        self, plate: Path, tmp_path: Path, events: Callable[[], list[dict[str, object]]]
    ) -> None:
        assert self.restore(plate, tmp_path, "--recipe", "identity", "--json") == 0
        told = events()
        assert (told[0]["event"], told[-1]["event"]) == ("planned", "finished")
        assert sum(e["event"] == "frame" for e in told) == 4
        for frame in plate.glob("*.dpx"):
            assert (tmp_path / frame.name).read_bytes() == frame.read_bytes()
        assert run(["verify", str(tmp_path), "--json"]) == 0

    def test_an_existing_target_is_refused_then_resumed_then_replaced(
        self, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.restore(plate, tmp_path, "--recipe", "identity") == 0
        assert self.restore(plate, tmp_path, "--recipe", "identity") == 2
        assert "--resume" in capsys.readouterr().err
        assert self.restore(plate, tmp_path, "--recipe", "identity", "--resume") == 0
        assert self.restore(plate, tmp_path, "--recipe", "identity", "--overwrite") == 0

    def test_a_bad_frame_fails_alone_by_name(
        self, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = tmp_path / "broken"
        broken.mkdir()
        for frame in plate.glob("*.dpx"):
            content = frame.read_bytes()
            (broken / frame.name).write_bytes(content[:5000] if "1002" in frame.name else content)
        assert self.restore(broken, tmp_path / "out", "--recipe", "identity") == 4
        assert "1002" in capsys.readouterr().out
        assert sorted(p.name for p in (tmp_path / "out").glob("*.dpx")) == [
            f"plate.{n}.dpx" for n in (1001, 1003, 1004)
        ]

    def test_verify_finds_a_changed_byte(self, plate: Path, tmp_path: Path) -> None:
        assert self.restore(plate, tmp_path, "--recipe", "identity") == 0
        victim = tmp_path / "plate.1003.dpx"
        content = bytearray(victim.read_bytes())
        content[-9] ^= 1
        victim.write_bytes(content)
        assert run(["verify", str(tmp_path)]) == 7

    def test_restoring_leaves_a_report_that_needs_no_network(
        self, plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.restore(plate, tmp_path) == 0
        assert "report.html" in capsys.readouterr().out
        page = (tmp_path / "report.html").read_text("utf-8")
        assert not re.search("https?://", page)
        assert page.count('class="shot') >= 1
        assert "denoise" in page
        assert CINEON in page
        assert "<svg" in page

    @pytest.mark.skipif(os.name == "nt", reason="such names cannot exist there")
    def test_hostile_names_do_not_reach_the_page_as_markup(
        self, plate: Path, tmp_path: Path
    ) -> None:
        evil = tmp_path / "<img src=x onerror=alert(1)>"
        evil.mkdir()
        for frame in plate.glob("*.dpx"):
            (evil / frame.name).write_bytes(frame.read_bytes())
        assert self.restore(evil, tmp_path / "out", "--recipe", "identity") == 0
        page = (tmp_path / "out" / "report.html").read_text("utf-8")
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page

    def test_python_api_does_the_same(self, plate: Path, tmp_path: Path) -> None:
        import wetgate

        plan = wetgate.plan(plate, tmp_path, recipe="identity", input_space=CINEON, frames=[1001])
        assert list(plan.frames) == [1001]
        report = wetgate.restore(
            plate, tmp_path, recipe="identity", input_space=CINEON, frames="1001-1002", memory="2GB"
        )
        assert report.exit_code == 0
        assert [f.number for f in report.frames] == [1001, 1002]
        clip = wetgate.open_clip(tmp_path, input_space="cineon")
        assert list(clip.frames) == [1001, 1002]
        assert clip[1002].pixels.shape == (64, 96, 3)

    @pytest.mark.skipif(os.name == "nt", reason="interrupts are sent otherwise there")
    def test_an_interrupt_stops_cleanly_and_the_job_resumes(
        self, long_plate: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        words = ["restore", str(long_plate), "--out", str(out), "--input-space", CINEON]
        job = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        deadline = time.monotonic() + 60
        while not list(out.glob("*.dpx")) and time.monotonic() < deadline and job.poll() is None:
            time.sleep(0.05)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
        assert job.returncode == 130, said
        assert "Traceback" not in said
        assert not list(out.glob(".*wetgate-tmp"))
        done = len(list(out.glob("*.dpx")))
        assert 0 < done < 10
        assert run([*words, "--resume"]) == 0
        assert len(list(out.glob("*.dpx"))) == 10

    @pytest.mark.skipif(os.name == "nt", reason="interrupts are sent otherwise there")
    def test_a_second_interrupt_ends_at_once(self, long_plate: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        words = ["restore", str(long_plate), "--out", str(out), "--input-space", CINEON]
        job = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        deadline = time.monotonic() + 60
        while not (out / ".wetgate").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        job.send_signal(signal.SIGINT)
        time.sleep(0.2)
        job.send_signal(signal.SIGINT)
        _, said = job.communicate(timeout=60)
        assert job.returncode == 130, said
        assert "Traceback" not in said
