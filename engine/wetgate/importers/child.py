"""The process in which a file of unknown origin is opened; `sandbox` starts it.

Order matters: the kernel's walls go up first; what a pickle would call is listed; the libraries are
loaded, then Python's own wall stands, and only then does a library touch the file.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from wetgate.importers import confine, pickles
from wetgate.importers.limits import Limits
from wetgate.model.errors import ModelLoadError, OutOfMemory, WetgateError


def main() -> int:
    """Read one request from standard input, answer it in files of its folder."""
    request = json.loads(sys.stdin.buffer.read())
    folder, limits = Path(request["folder"]), Limits(**request["limits"])
    os.chdir(folder)
    walls = confine.raise_walls(
        folder, memory_bytes=limits.memory_bytes, cpu_seconds=limits.cpu_seconds
    )
    try:
        if request["job"] == "checkpoint":
            # Without torch, so a file that means harm is refused where torch is absent too.
            pickles.vet_checkpoint(folder / request["files"][0])
        _load_libraries(request["job"])
        walls.append(confine.watch(folder))
        files = {name: (folder / name).read_bytes() for name in request["files"]}
        graph, facts = _convert(request["job"], folder, files, limits)
        (folder / "graph.onnx").write_bytes(graph)
        answer: dict[str, object] = {"facts": facts, "walls": walls}
    except WetgateError as error:
        answer = {"error": _facts_of(error)}
    except MemoryError:
        from wetgate.importers.sandbox import too_much_memory

        answer = {"error": _facts_of(too_much_memory(limits))}
    except confine.Refused as error:
        answer = {"error": {"found": f"the file made the importer try {error}: refused"}}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _facts_of(error: WetgateError) -> dict[str, object]:
    kind = "OutOfMemory" if isinstance(error, OutOfMemory) else "ModelLoadError"
    return {
        "kind": kind,
        "found": error.found,
        "expected": error.expected,
        "remedy": error.remedy,
    }


def _load_libraries(job: str) -> None:
    from wetgate.importers import probe

    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ModelLoadError(
            "the onnx package is not installed", remedy="pip install 'wetgate[import]'"
        ) from error
    probe.load()
    if job == "checkpoint":
        from wetgate.importers import checkpoint

        checkpoint.load_libraries()


def _convert(
    job: str, folder: Path, files: Mapping[str, bytes], limits: Limits
) -> tuple[bytes, dict[str, object]]:
    from wetgate.importers import ncnn, onnx_clean, onnx_guard, probe

    told: dict[str, object] = {}
    window, multiple = 0, 1
    if job == "ncnn":
        model = ncnn.convert(files["model.param"], files["model.bin"])
        told = {"architecture": "ncnn graph"}
    elif job == "checkpoint":
        from wetgate.importers import checkpoint

        (name,) = files
        exported = checkpoint.convert(folder / name)
        model = onnx_guard.parse(exported.graph, limits)
        told, window, multiple = exported.facts, exported.window, exported.multiple
    else:
        (data,) = files.values()
        model = onnx_guard.parse(data, limits)
        told = {"architecture": model.producer_name[:64] or "ONNX graph"}
    onnx_guard.vet(model, limits, inlined=False)
    clean = onnx_clean.clean(model, limits)
    onnx_guard.vet(clean.model, limits)
    onnx_guard.measure_shapes(clean.model, limits)
    graph = clean.model.SerializeToString()
    facts = probe.probe(clean.model, graph, window=window or clean.window, multiple=multiple)
    return graph, {**told, **facts.to_dict(), "converted": list(clean.notes)}


if __name__ == "__main__":
    sys.exit(main())
