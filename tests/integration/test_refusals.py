"""What can be known to be impossible is refused by the plan, not at frame 812."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.plates import write_plate
from wetgate.cli.app import run
from wetgate.model.errors import FormatNotWritten, InputError
from wetgate.render.job import JobOptions, plan_job, run_job


@pytest.mark.parametrize("name", ["new.%04d.jpg", "new.%04d.cin", "new.%04d.mov"])
def test_an_output_in_a_read_only_format_is_refused_by_the_plan(name: str, tmp_path: Path) -> None:
    plate, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    options = JobOptions(plate=plate, out=out / name, recipe="identity")
    for act in (plan_job, run_job):
        with pytest.raises(FormatNotWritten, match="written"):
            act(options)
    assert not out.exists()
    assert run(["restore", str(plate), "--out", str(out / name), "--recipe", "identity"]) == 2


def test_a_read_only_source_needs_an_output_that_names_a_format(tmp_path: Path) -> None:
    plate, out = tmp_path / "in", tmp_path / "out"
    plate.mkdir()
    for number in (1, 2):
        cv2.imwrite(str(plate / f"p.{number:04d}.bmp"), np.full((16, 16, 3), 90, np.uint8))
    with pytest.raises(FormatNotWritten, match="bmp is not written"):
        run_job(JobOptions(plate=plate, out=out, recipe="identity"))
    options = JobOptions(plate=plate, out=out / "p.%04d.exr", recipe="identity")
    assert run_job(options).exit_code == 0


def test_a_layer_of_a_format_without_layers_is_refused_before_the_first_frame(
    tmp_path: Path,
) -> None:
    plate, out = write_plate(tmp_path / "in", [1, 2]), tmp_path / "out"
    with pytest.raises(InputError, match="layer 'left' was asked for and dpx has none"):
        run_job(JobOptions(plate=plate, out=out, recipe="identity", layer="left"))
    assert not out.exists()
