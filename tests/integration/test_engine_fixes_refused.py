"""What the engine refuses to write of fixes: lies, classes beyond the policy, no room."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fixers import Mend, Mender, Spots
from support.operators import Lift, inner
from support.plates import recipe, register, write_plate
from support.spotted import (
    FRAMES,
    Taken,
    done,
    dpx_codes,
    run,
    scene,
    sidecar,
)
from wetgate.model.errors import (
    BackendError,
    InputError,
    OutputError,
    RecipeError,
    UsageError,
    WetgateError,
)
from wetgate.operators import registry
from wetgate.operators.base import Analysis, Judged, Provenance, SourceFacts, Window
from wetgate.render import job as job_module
from wetgate.render.fix_sink import WrittenFixes
from wetgate.render.job import JobOptions, verify_output


@pytest.fixture(autouse=True)
def _operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    register()
    registry._FACTORIES["mend"] = Mender


@pytest.fixture(scope="module")
def dpx_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("in"), FRAMES, suffix="dpx", picture=scene)


@dataclass(frozen=True)
class Liar(Mend):
    """Tells the engine one thing wrong."""

    lie: str = ""

    def __call__(self, window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        said = super().__call__(window, analysis, facts)
        assert said.fixes is not None and said.classes is not None and said.origins is not None
        first = said.records[0]
        changes: dict[str, Any] = {
            "class": {"classes": np.where(said.fixes > 0, np.uint8(5), said.classes)},
            "nowhere": {"origins": 0 * said.origins},
            "unknown": {"records": said.records[1:]},
            "modest": {"records": (replace(first, provenance=Provenance.UNTOUCHED),)},
            "boastful": {"records": (replace(first, provenance=Provenance.INFERRED),)},
            "elsewhere": {"records": (replace(first, frame=7), *said.records[1:])},
            "twins": {"records": (replace(first, number=first.number + 99), *said.records)},
            "nan": {"records": (replace(first, facts={"px": float("nan")}), *said.records[1:])},
            "type": {"fixes": said.fixes.astype(np.int64)},
        }
        return replace(said, **changes[self.lie])


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ("class", "class 5"),
        ("nowhere", "from nowhere"),
        ("unknown", "by fix 1"),
        ("modest", "above that of their fix|by fix"),
        ("boastful", "of class 5"),
        ("elsewhere", "frame 7"),
        ("twins", "names 2 fixes"),
        ("nan", "finite"),
        ("type", "int64"),
    ],
)
def test_an_operator_that_lies_fails_the_frame(
    lie: str, said: str, dpx_plate: Path, tmp_path: Path
) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(last=Liar(lie=lie))
    report = run(dpx_plate, tmp_path / "out", policy="archival", frames="1001")
    assert report.exit_code == 4 and not list((tmp_path / "out").glob("*.dpx"))
    assert re.search(said, str(report.failed[0].error))
    assert not (tmp_path / "out" / "provenance").exists()


def test_the_policy_is_held_at_the_time_of_writing(dpx_plate: Path, tmp_path: Path) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(provenance=Provenance.INFERRED)
    with pytest.raises(RecipeError, match="class 5"):
        run(dpx_plate, tmp_path / "out", policy="archival")
    assert not (tmp_path / "out").exists(), "refused before the first frame"

    def painted(window: Window, analysis: Analysis, facts: SourceFacts) -> Judged:
        return Judged(window.center[inner(window)] + np.float32(0.1))

    class Painter(Lift):
        __call__ = staticmethod(painted)  # type: ignore[assignment]

    for kind, exit_code in ((Provenance.FILTERED, 0), (Provenance.INFERRED, 7)):
        made = Painter(name="paint", provenance=Provenance.FILTERED)
        registry._FACTORIES["paint"] = lambda made=made: made
        out = tmp_path / f"out{kind}"
        with pytest.MonkeyPatch.context() as patch:
            # What the chain hands to the writer is not what the operator said at planning.
            from wetgate.render.bound import BoundStep

            patch.setattr(BoundStep, "mark", property(lambda _step, kind=kind: int(kind)))
            report = run(dpx_plate, out, recipe("paint"), policy="archival", frames="1001")
        assert report.exit_code == exit_code
        if exit_code:
            assert "pixels of class 5 (inferred)" in str(report.failed[0].error)
            assert not list(out.glob("*.dpx"))


def test_provenance_of_any_recipe_and_where_it_cannot_go(dpx_plate: Path, tmp_path: Path) -> None:
    done(dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001")
    assert not (tmp_path / "plain" / "provenance").exists()
    report = done(
        dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001", provenance="sidecar",
        resume=True,
    )  # fmt: skip
    assert report.frames[0].status == "written", "the sidecar was not there"
    source, got = (dpx_codes(at / "plate.1001.dpx") for at in (dpx_plate, tmp_path / "plain"))
    planes = sidecar(tmp_path / "plain", 1001)
    changed = (source != got).any(axis=-1)
    assert np.array_equal(planes["class"], np.where(changed, 3, 0)) and not planes["fix"].any()
    side = tmp_path / "plain" / "provenance" / "provenance.1001.exr"
    side.write_bytes(side.read_bytes()[:-9])
    assert "provenance" in str(verify_output(tmp_path / "plain").problems[0])
    again = done(
        dpx_plate, tmp_path / "plain", recipe("lift"), frames="1001", provenance="sidecar",
        resume=True,
    )  # fmt: skip
    assert again.frames[0].status == "written" and verify_output(tmp_path / "plain").good == 1
    with pytest.raises(UsageError, match="dpx has no layers"):
        run(dpx_plate, tmp_path / "layers", provenance="layers")
    with pytest.raises(UsageError, match="provenance"):
        JobOptions(plate=dpx_plate, out="out", provenance="both")  # type: ignore[arg-type]


def test_a_sink_that_fails_keeps_the_frame_from_its_name(
    dpx_plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Taken):
        def take(self, written: WrittenFixes) -> None:
            raise InputError("no room in the journal", frame=written.frame)

    monkeypatch.setattr(job_module, "_sinks", lambda _job: (Full(),))
    report = run(dpx_plate, tmp_path / "out", frames="1001")
    assert isinstance(report.failed[0].error, str | WetgateError)
    assert "no room in the journal" in str(report.failed[0].error)
    left = [p.name for p in (tmp_path / "out").rglob("*") if p.suffix in (".dpx", ".exr")]
    assert left == []


def test_a_source_is_not_written_to_by_way_of_a_link(dpx_plate: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance").symlink_to(dpx_plate, target_is_directory=True)
    with pytest.raises(OutputError, match="directory of the source"):
        run(dpx_plate, tmp_path / "out")


def test_a_last_stage_with_planes_of_its_own_is_refused(dpx_plate: Path, tmp_path: Path) -> None:
    registry._FACTORIES["mend"] = lambda: Mender(last=Spots())
    with pytest.raises(BackendError, match="last stage returns 5 channels"):
        run(dpx_plate, tmp_path / "out")
