"""One training from recipe to model package."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from wetgate.model.errors import UsageError
from wetgate.train.export import export, weights_of
from wetgate.train.loop import read_log, train
from wetgate.train.pictures import Pictures
from wetgate.train.task import TrainingRecipe
from wetgate.weights import ModelPackage, find_model

_log = logging.getLogger(__name__)


def run_training(
    recipe: TrainingRecipe,
    out: Path,
    folders: Sequence[Path],
    *,
    threads: int = 1,
    steps: int | None = None,
    shards: Path | None = None,
) -> ModelPackage:
    """Prepare, train and export; goes on where an earlier call in the same folder was broken off.

    Args:
        out: gets the package NAME and, under `work`, checkpoint, log, plot and shards.
        folders: with recorded photographs.
        threads: of the CPU; part of what makes a run reproducible to the bit.
        steps: another number of optimizer steps than the recipe's, for a try.
        shards: where prepared material lies; None for `out`/work.

    Raises:
        InputError: the photographs cannot be used. UsageError: the run in `out` is of another
        recipe.
    """
    torch.set_num_threads(threads)
    _one_thread_elsewhere()
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    work = out / "work" / recipe.name
    work.mkdir(parents=True, exist_ok=True)
    _same_recipe(work / "recipe.txt", recipe)
    pictures = Pictures.load(folders)
    task = recipe.make_task()
    task.prepare(shards or out / "work" / "shards", pictures, recipe.seed)
    start = weights_of(find_model(recipe.start)) if recipe.start else None
    trained = train(recipe, task, work, start=start)
    plot_log(work)
    return export(out, recipe, task, trained, pictures)


def plot_log(work: Path) -> Path | None:
    """Draw loss and validation against steps from the log; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        _log.info("no plot: matplotlib is not installed (the report extra)")
        return None
    lines = list(read_log(work / "log.jsonl"))
    figure = Figure(figsize=(8, 6), layout="constrained")
    loss, quality = figure.subplots(2, 1, sharex=True)
    loss.semilogy([li["step"] for li in lines], [li["loss"] for li in lines])
    loss.set_ylabel("loss")
    for key in sorted({k for li in lines for k in li if k.startswith("valid ")}):
        points = [(li["step"], li[key]) for li in lines if key in li]
        twin = key.startswith("valid twin ")
        quality.plot(*zip(*points, strict=True), "--" if twin else "-", label=key[6:])
    quality.set_xlabel("step")
    quality.set_ylabel("dB")
    if quality.lines:
        quality.legend()
    target = work / "curve.svg"
    figure.savefig(target)
    return target


def _same_recipe(path: Path, recipe: TrainingRecipe) -> None:
    said = repr(recipe)
    if path.is_file() and path.read_text("utf-8") != said:
        raise UsageError(
            "a training of another recipe lies there",
            path=path.parent,
            remedy="choose another --out, or delete it",
        )
    path.write_text(said, "utf-8")


def _one_thread_elsewhere() -> None:
    import cv2

    cv2.setNumThreads(1)
