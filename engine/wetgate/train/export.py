"""Write what was trained as a model package: ONNX, safetensors, card."""

from __future__ import annotations

import hashlib
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wetgate.backends import load_session
from wetgate.model.errors import BackendError
from wetgate.train.loop import Trained
from wetgate.train.nets import Net
from wetgate.train.pictures import Pictures
from wetgate.train.task import Task, TrainingRecipe, UsesOtherData
from wetgate.weights import (
    DataRecord,
    ModelCard,
    ModelPackage,
    QualityRecord,
    TrainingRecord,
    write_package,
)

OPSET = 17
_AGREEMENT = 1e-4
_LICENCE = "Apache-2.0"


def export(
    folder: Path, recipe: TrainingRecipe, task: Task, trained: Trained, pictures: Pictures
) -> ModelPackage:
    """Write a package into `folder`/NAME.

    The ONNX graph is run and compared with the trained network on two sizes before anything is
    written.

    Raises:
        BackendError: the two disagree.
    """
    facts = dict(task.card())
    planes = len(facts["inputs"])  # type: ignore[arg-type]
    weights = {
        "model.onnx": onnx_bytes(trained.net, planes),
        "model.safetensors": safetensors_bytes(trained.net),
    }
    document = {
        "name": recipe.name,
        "version": recipe.version,
        "architecture": trained.net.architecture,
        "parameters": sum(p.numel() for p in trained.net.parameters()),
        "scale": trained.net.scale,
        "halo": trained.net.halo,
        "size_multiple": trained.net.size_multiple,
        "licence": _LICENCE,
        "commercial": True,
        "origin": f"wetgate train {recipe.name}",
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in weights.items()},
        **facts,
    }
    extra = task.data() if isinstance(task, UsesOtherData) else ()
    card = _card(document, recipe, trained, pictures, extra)
    with tempfile.TemporaryDirectory() as spare:
        _compare(write_package(Path(spare) / card.name, card, weights), trained.net)
    return write_package(folder / card.name, card, weights, overwrite=True)


def onnx_bytes(net: Net, planes: int) -> bytes:
    """Return the network as ONNX, one input `x` and one output `y`, any size."""
    target = io.BytesIO()
    axes = {0: "n", 2: "h", 3: "w"}
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with warnings.catch_warnings():
        # The exporter that writes these few operators with no further packages is the old one.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, planes, 64, 64),),
            target,  # type: ignore[arg-type]
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": axes, "y": axes},
            opset_version=OPSET,
            dynamo=False,
        )
    return target.getvalue()


def safetensors_bytes(net: Net) -> bytes:
    """Return the weights alone, with the architecture in the header."""
    from safetensors.torch import save

    state: dict[str, Tensor] = {k: v.contiguous() for k, v in net.state_dict().items()}
    return bytes(save(state, metadata={"architecture": net.architecture}))


def weights_of(package: ModelPackage) -> dict[str, Tensor]:
    """Return the weights of a package that a training may start from, by their names."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_model_from_string(package.read("model.onnx")).graph
    return {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}


def _card(
    document: dict[str, object],
    recipe: TrainingRecipe,
    trained: Trained,
    pictures: Pictures,
    extra: tuple[DataRecord, ...],
) -> ModelCard:
    inputs, outputs = document.pop("inputs"), document.pop("outputs")
    return ModelCard(
        **document,  # type: ignore[arg-type]
        inputs=tuple(inputs),  # type: ignore[arg-type]
        outputs=tuple(outputs),  # type: ignore[arg-type]
        training=TrainingRecord(
            recipe=recipe.name,
            seed=recipe.seed,
            steps=recipe.steps,
            machine=trained.machine,
            seconds=round(trained.seconds, 1),
            notes=f"torch {torch.__version__}, bfloat16 where it is fast",
        ),
        training_data=(*data_records(pictures), *extra),
        quality=_quality(trained.figures, recipe.name),
    )


def data_records(pictures: Pictures) -> tuple[DataRecord, ...]:
    """Return a record for every photograph, and one for what is generated."""
    photographs = tuple(
        DataRecord(
            file=r.file,
            origin=f"Debian package {r.package} {r.version}",
            licence=r.licence,
            author=r.author,
            sha256=r.sha256,
            use="validate" if held else "train",
        )
        for r, held in pictures.uses()
    )
    made = DataRecord(
        file="dead leaves, lettering, line work, gradients",
        origin="wetgate.train.generated",
        licence=_LICENCE,
    )
    return (*photographs, made)


def _quality(figures: dict[str, float], name: str) -> tuple[QualityRecord, ...]:
    """Pair each figure with its twin's."""
    return tuple(
        QualityRecord(
            data=f"held-out {key.removesuffix(' dB')}" if key.endswith(" dB") else "held-out clips",
            metric="PSNR dB" if key.endswith(" dB") else key,
            value=round(value, 3),
            twin="classical twin",
            twin_value=round(figures[f"twin {key}"], 3) if f"twin {key}" in figures else None,
            command=f"wetgate train {name}",
        )
        for key, value in figures.items()
        if not key.startswith("twin ")
    )


def _compare(package: ModelPackage, net: Net) -> None:
    session = load_session(package, backend="onnx")
    rng = np.random.default_rng(1)
    for size in (64, 96):
        shape = 1, len(package.card.inputs), size, size + 32
        x = rng.uniform(-0.2, 1.2, shape).astype(np.float32)
        with torch.no_grad():
            want = net(torch.from_numpy(x)).numpy()
        worst = float(np.abs(session.run(x) - want).max())
        if not worst <= _AGREEMENT:
            raise BackendError(
                f"the ONNX graph differs from the trained network by {worst:g}",
                expected=f"at most {_AGREEMENT:g}",
            )
