"""The training loop: reproducible by seed, resumable, one log line every hundred steps.

Batch `k` depends on (seed, k) alone and the state of optimizer and average is in the checkpoint,
so a run that was broken off and resumed gives the weights of one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wetgate.train.nets import Net
from wetgate.train.task import Batch, Planes, Task, TrainingRecipe

_log = logging.getLogger(__name__)

_WARM_UP = 100
_AVERAGE = 0.999
_SOFT = 1e-3
_LAST_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished run.

    Attributes:
        net: with averaged weights, in evaluation mode, on the CPU.
        figures: of the last validation.
        seconds: wall time of the steps, all sittings together.
    """

    net: Net
    figures: dict[str, float]
    seconds: float
    machine: str


def pick_device() -> str:
    """Return `cuda` where there is one, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def train(
    recipe: TrainingRecipe,
    task: Task,
    out: Path,
    *,
    start: dict[str, Tensor] | None = None,
    every: int = 1000,
    device: str | None = None,
) -> Trained:
    """Train the recipe's network in `out`, going on from the checkpoint there if there is one.

    Args:
        task: prepared.
        out: folder of `checkpoint.pt`, `log.jsonl`.
        start: weights to start from where names and shapes agree.
        every: steps between checkpoints with validation.
    """
    device = device or pick_device()
    torch.manual_seed(recipe.seed)
    net = task.make_net()
    if start:
        own = net.state_dict()
        own.update({k: v for k, v in start.items() if k in own and own[k].shape == v.shape})
        net.load_state_dict(own)
    net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=0.0)
    average = {k: v.detach().clone() for k, v in net.state_dict().items()}
    step, spent = _resume(out / "checkpoint.pt", net, optimizer, average)
    half = _low_precision(device)
    clock, losses = time.monotonic(), []
    figures: dict[str, float] = {}
    while step < recipe.steps:
        rng = np.random.Generator(np.random.Philox(key=recipe.seed, counter=[0, 0, 0, step]))
        loss = _loss(net, task.batch(rng, recipe.batch), device, half)
        for group in optimizer.param_groups:
            group["lr"] = _rate(recipe, step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(_AVERAGE, step / (step + 10))
        with torch.no_grad():
            for key, value in net.state_dict().items():
                average[key].lerp_(value, 1.0 - decay)
        losses.append(float(loss.detach()))
        if step % 100 == 0 or step == recipe.steps:
            now = time.monotonic()
            spent, elapsed, clock = spent + now - clock, now - clock, now
            line = {
                "step": step,
                "loss": float(np.mean(losses)),
                "rate": _rate(recipe, step),
                "seconds": round(spent, 1),
                "examples_per_second": round(len(losses) * recipe.batch / elapsed, 1),
            }
            losses = []
            if step % every == 0 or step == recipe.steps:
                figures = _validated(net, average, task, device)
                line |= {f"valid {k}": round(v, 4) for k, v in figures.items()}
                _save(out / "checkpoint.pt", net, optimizer, average, step, spent)
                clock = time.monotonic()
            _append(out / "log.jsonl", line)
    figures = figures or _validated(net, average, task, device)
    net.load_state_dict(average)
    net.to("cpu").eval()
    return Trained(net=net, figures=figures, seconds=spent, machine=machine(device))


def machine(device: str) -> str:
    """Say in words what trained."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    return f"{torch.get_num_threads()} thread(s) of {platform.machine()} ({_cpu_name()})"


def read_log(path: Path) -> Iterator[dict[str, float]]:
    """Yield the lines of a log; of steps that were done twice, the last."""
    lines: dict[float, dict[str, float]] = {}
    if path.is_file():
        for text in path.read_text("utf-8").splitlines():
            line = json.loads(text)
            lines[line["step"]] = line
    yield from (lines[k] for k in sorted(lines))


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
        return next(t.split(":")[1].strip() for t in text.splitlines() if "model name" in t)
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def _rate(recipe: TrainingRecipe, step: int) -> float:
    warm = min(1.0, (step + 1) / _WARM_UP)
    part = min(1.0, step / recipe.steps)
    low = _LAST_RATE
    return recipe.rate * warm * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part)))


def _low_precision(device: str) -> bool:
    """Whether bfloat16 is faster here: on a CPU without its arithmetic it is much slower."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _tensor(planes: Planes, device: str) -> Tensor:
    return torch.from_numpy(planes).to(device=device, memory_format=torch.channels_last)


def _loss(net: Net, batch: Batch, device: str, half: bool) -> Tensor:
    """Return the mean loss of `base + correction` against the target: Charbonnier, or binary."""
    with torch.autocast(device, torch.bfloat16, enabled=half):
        change = net(_tensor(batch.x, device))
    change = change.float()
    if batch.limit is not None:
        limit = torch.as_tensor(batch.limit, device=device)
        change = torch.maximum(torch.minimum(change, limit), -limit)
    if batch.unit is not None:
        change = change * torch.from_numpy(batch.unit).to(device)
    base, target = _tensor(batch.base, device), _tensor(batch.target, device)
    if batch.binary:
        loss = functional.binary_cross_entropy_with_logits(base + change, target, reduction="none")
    else:
        error = base + change - target
        loss = torch.sqrt(error * error + _SOFT * _SOFT)
    if batch.weight is not None:
        loss = loss * torch.from_numpy(batch.weight).to(device)
    return loss.mean()


def _validated(net: Net, average: dict[str, Tensor], task: Task, device: str) -> dict[str, float]:
    own = {k: v.detach().clone() for k, v in net.state_dict().items()}
    net.load_state_dict(average)
    net.eval()

    def predict(planes: Planes) -> Planes:
        with torch.no_grad():
            return np.asarray(net(_tensor(planes, device)).float().cpu().numpy(), np.float32)

    figures = task.validate(predict)
    net.train()
    net.load_state_dict(own)
    return figures


def _save(
    path: Path,
    net: Net,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    spent: float,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
            "spent": spent,
        },
        temporary,
    )
    os.replace(temporary, path)


def _resume(
    path: Path, net: Net, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]
) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    average.update(state["average"])
    _log.info("going on from step %d", state["step"])
    return int(state["step"]), float(state["spent"])


def _append(path: Path, line: dict[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
