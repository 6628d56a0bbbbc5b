"""Turn a PyTorch checkpoint of a family that spandrel knows into a graph, inside the child.

The file, which `pickles` has looked at, is read as weights only: `torch.load(weights_only=True)`
or safetensors. spandrel recognises the family from the names and sizes of the weights. torchvision
is never loaded: what spandrel takes from it serves two families that are not imported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import pickle
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wetgate.importers.confine import Refused
from wetgate.importers.pickles import unreadable
from wetgate.importers.probe import WINDOW, Net, picture
from wetgate.model.errors import ModelLoadError, OutOfMemory

_OPSET = 17
_TOLERANCE = 1e-4
"""torch against ONNX Runtime, relative to the largest output value."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A checkpoint as a graph.

    Attributes:
        graph: ONNX bytes.
        window: the only size it takes, or 0.
        multiple: sizes must be multiples of this to give what torch gives.
        facts: architecture, tags and the measured difference to torch.
    """

    graph: bytes
    window: int
    multiple: int
    facts: dict[str, object]


def load_libraries() -> None:
    """Load torch and spandrel, with a stand-in for torchvision.

    Raises:
        ModelLoadError: when they are not installed.
    """
    _stand_in_for_torchvision()
    try:
        import spandrel  # noqa: F401
        import torch
        import torch.onnx
    except ImportError as error:
        raise ModelLoadError(
            f"PyTorch checkpoints need torch and spandrel: {error}",
            remedy="see the README of wetgate.importers for the line that installs them",
        ) from error
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


def _stand_in_for_torchvision() -> None:
    """Let spandrel be imported without torchvision, which often does not match a CPU torch."""

    def absent(*args: object, **kwargs: object) -> object:
        raise ModelLoadError("this family needs torchvision and is not imported")

    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        sys.modules[name] = module
    functional: Any = sys.modules["torchvision.transforms.functional"]
    functional.InterpolationMode = types.SimpleNamespace(BILINEAR=None, NEAREST=None)
    functional.rotate = functional.normalize = absent


def convert(path: Path) -> Exported:
    """Read, recognise, export and compare one checkpoint.

    Raises:
        ModelLoadError: code in the file, damaged, no family that is known, or a graph that does
            not give what torch gives.
    """
    import spandrel

    state = _read_state(path)
    try:
        tidy = importlib.import_module("spandrel.__helpers.canonicalize").canonicalize_state_dict
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(tidy(state))
    except spandrel.UnsupportedModelError as error:
        families = sorted(a.architecture.id for a in spandrel.MAIN_REGISTRY.architectures())
        raise ModelLoadError(
            "a checkpoint of no family that spandrel knows",
            expected=", ".join(families),
            remedy="export it to ONNX where it was trained",
        ) from error
    except ModelLoadError:
        raise
    except Exception as error:
        raise ModelLoadError(
            f"a checkpoint that its family cannot load: {' '.join(str(error).split())[:300]}"
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ModelLoadError(
            f"{found.architecture.id}: a network that needs a mask", expected="a picture alone"
        )
    if found.input_channels not in (1, 3) or found.output_channels != found.input_channels:
        raise ModelLoadError(
            f"{found.architecture.id} from {found.input_channels} to {found.output_channels} "
            "planes",
            expected="1 or 3, as many out as in",
            remedy="networks that take a noise level or several frames are not imported",
        )
    return _export(found)


def _export(found: Any) -> Exported:
    import torch

    class Plain(torch.nn.Module):
        """The family's own call, without the clamp that spandrel puts around it."""

        def __init__(self) -> None:
            super().__init__()
            self.net = found.model.eval().float()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made = found._call_fn(self.net, x)
            out: torch.Tensor = made[0] if isinstance(made, tuple) else made
            return out

    plain = Plain().eval()
    channels = found.input_channels
    facts: dict[str, object] = {
        "architecture": found.architecture.id,
        "tags": [str(t) for t in found.tags],
        "purpose": str(found.purpose),
    }
    step = max(1, found.size_requirements.multiple_of)
    with contextlib.suppress(ModelLoadError):
        graph = _trace(plain, channels, -(-64 // step) * step, free=True)
        # A tracer writes down sizes that it should have followed: other sizes tell.
        for multiple in (step, *(m for m in (8, 16, 32, 64) if m > step and m % step == 0)):
            sizes = [(_up(a, multiple), _up(b, multiple)) for a, b in ((72, 104), (136, 40))]
            try:
                worst = _differ(plain, graph, sizes, channels)
            except OutOfMemory:
                raise
            except ModelLoadError:
                continue
            if worst <= _TOLERANCE:
                return Exported(graph, 0, multiple, {**facts, "differs_from_torch": worst})
    window = _up(WINDOW, step)
    graph = _trace(plain, channels, window, free=False)
    worst = _differ(plain, graph, [(window, window), (window, window)], channels)
    if worst > _TOLERANCE:
        raise ModelLoadError(
            f"{found.architecture.id}: the graph differs from torch by {worst:g}",
            expected=f"at most {_TOLERANCE:g}",
            remedy="export it to ONNX where it was trained",
        )
    return Exported(graph, window, 1, {**facts, "differs_from_torch": worst})


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _trace(plain: Any, channels: int, side: int, *, free: bool) -> bytes:
    import torch

    path = Path("traced.onnx").resolve()
    free_sides = {2: "h", 3: "w"}
    try:
        torch.onnx.export(
            plain,
            (torch.from_numpy(picture(channels, side, side))[None],),
            path,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": free_sides, "y": free_sides} if free else None,
            opset_version=_OPSET,
            dynamo=False,
        )
    except (MemoryError, Refused):
        raise
    except Exception as error:
        raise ModelLoadError(
            f"a network that cannot be written as ONNX: {' '.join(str(error).split())[:300]}",
            remedy="export it to ONNX where it was trained",
        ) from error
    data = path.read_bytes()
    path.unlink()
    return data


def _differ(plain: Any, graph: bytes, sizes: list[tuple[int, int]], channels: int) -> float:
    """Return how far the graph is from torch, relative to the largest value; Inf: another size.

    Raises:
        ModelLoadError: the graph does not run.
    """
    import torch

    worst = 0.0
    net = Net(graph)
    for seed, (height, width) in enumerate(sizes):
        planes = picture(channels, height, width, seed)
        want = plain(torch.from_numpy(planes)[None]).numpy()[0]
        got = net.run(planes)
        if got.shape != want.shape or not np.isfinite(want).all():
            return float("inf")
        largest = max(1.0, float(np.abs(want).max()))
        worst = max(worst, float(np.abs(got - want).max()) / largest)
    return worst


def _read_state(path: Path) -> dict[str, Any]:
    """Read the weights, and nothing but weights."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path, device="cpu"))
        return _load(path)
    except (ModelLoadError, MemoryError, Refused):
        raise
    except Exception as error:
        raise unreadable(error) from error


def _load(path: Path) -> dict[str, Any]:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelLoadError(
            f"a checkpoint that holds more than weights: {' '.join(str(error).split())[:300]}",
            expected="tensors in dictionaries",
            remedy="ask its author for safetensors",
        ) from error
    if not isinstance(state, dict):
        raise ModelLoadError(f"a checkpoint of {type(state).__name__}", expected="a dictionary")
    return state
