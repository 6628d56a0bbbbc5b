"""Choose a backend, say why in words, and keep one session per network and process."""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import replace
from pathlib import Path

from wetgate.backends.base import (
    BACKENDS,
    PRECISIONS,
    Backend,
    Choice,
    Device,
    Session,
    SessionBase,
    first_line,
)
from wetgate.backends.gpu import gpu_names, has_metal
from wetgate.model.errors import BackendError, ModelLoadError, UsageError
from wetgate.weights.library import ModelPackage, recall_model

_log = logging.getLogger(__name__)

_CLASSES = {"onnx": "OnnxBackend", "openvino": "OpenVinoBackend", "torch": "TorchBackend"}
_sessions: dict[tuple[str, ...], SessionBase] = {}
_lock = threading.RLock()


def check_names(backend: str, precision: str) -> None:
    """Refuse names that no backend and no precision has.

    Raises:
        ValueError: saying which there are; operators check their parameters so.
    """
    for what, value, known in (
        ("backend", backend, BACKENDS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise ValueError(f"{what} must be one of {', '.join(known)}, got {value!r}")


def load_session(
    package: ModelPackage | str | Path,
    *,
    backend: str = "auto",
    precision: str = "fp32",
    threads: int = 1,
    device: Device = "auto",
) -> Session:
    """Return a session that runs a network; the same one for the same question.

    What cannot be had is replaced by the nearest thing that can, down to ONNX Runtime in float32
    on the CPU; `session.choice` says which it is and why. Fast enough to be called for every
    tile.

    Args:
        package: a package, its name or its folder.
        backend: "auto", "onnx", "openvino" or "torch".
        precision: "fp32", "bf16", "fp16"; a quantised package runs in int8 whatever is asked.
        threads: inside one call; the engine runs tiles in threads, so 1 is mostly best.
        device: "cpu" keeps off graphics processors, "gpu" asks for one.

    Raises:
        UsageError: an unknown backend or precision.
        ModelLoadError: no such model, or damaged. BackendError: nothing can run it.
    """
    if backend not in BACKENDS:
        raise UsageError(f"no backend {backend!r}", expected=f"one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"no precision {precision!r}", expected=f"one of {', '.join(PRECISIONS)}")
    found = package if isinstance(package, ModelPackage) else recall_model(package)
    key = _key(found, backend, precision, threads, device)
    with _lock:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = _load(found, backend, precision, threads, device)
            _log.info("%s: %s", found.card.name, session.choice)
        return session


def foresee(
    package: ModelPackage,
    *,
    backend: str = "auto",
    precision: str = "fp32",
    threads: int = 1,
    device: Device = "auto",
) -> Choice:
    """Return how `load_session` would run a network, without loading it.

    Where the session is there already it is asked. Else libraries say what they can, and none is
    started: one that then fails to start is passed over, and only the session can tell.

    Raises:
        ModelLoadError: the graph is damaged. BackendError: nothing can run it.
    """
    with _lock:
        session = _sessions.get(_key(package, backend, precision, threads, device))
    if session is not None:
        return session.choice
    refused: list[str] = []
    for name, how, where in _attempts(package, backend, precision, device):
        try:
            tried = _backend(name)
            why_not = tried.refusal(package, how, where)
        except ModelLoadError:
            raise
        except (BackendError, ImportError) as error:
            why_not = first_line(error)
        if why_not is None:
            gpu = where != "cpu" and _has_gpu(device) and not tried.refusal(package, how, "gpu")
            choice = Choice(
                backend=name,
                device=f"cuda:0 {gpu_names()[0]}"
                if gpu and gpu_names()
                else "mps"
                if gpu
                else "cpu",
                precision=how,
                reason="the first in order that can run it",
            )
            return _explained(choice, refused, backend, precision)
        if why_not not in refused:
            refused.append(why_not)
    raise BackendError(f"{package.card.name}: nothing can run it: {'; '.join(refused)}")


def loaded_sessions() -> tuple[Session, ...]:
    """Return the sessions of this process: what ran where, why, and what happened on the way."""
    with _lock:
        return tuple(_sessions.values())


def forget_sessions() -> None:
    """Let go of all sessions of this process and the memory they hold."""
    with _lock:
        _sessions.clear()


def _key(
    package: ModelPackage, backend: str, precision: str, threads: int, device: Device
) -> tuple[str, ...]:
    # Another card on the same weights is another model: halo and scale are its word alone.
    card = package.card.digest
    return str(package.folder), card, backend, precision, str(threads), device


def _load(
    package: ModelPackage, backend: str, precision: str, threads: int, device: Device
) -> SessionBase:
    refused: list[str] = []
    attempts = _attempts(package, backend, precision, device)
    for name, how, where in attempts:
        try:
            tried = _backend(name)
            why_not = tried.refusal(package, how, where)
            if why_not is None:
                session = tried.load(package, how, where, threads)
                session.choice = _explained(session.choice, refused, backend, precision)
                if session.choice.fell_back:
                    session.note(str(session.choice))
                return session
        except ModelLoadError:
            raise  # a damaged model is damaged everywhere
        except (BackendError, ImportError) as error:
            why_not = first_line(error)
        if why_not not in refused:
            refused.append(why_not)
    raise BackendError(f"{package.card.name}: nothing can run it: {'; '.join(refused)}")


def _attempts(
    package: ModelPackage, backend: str, precision: str, device: Device
) -> list[tuple[str, str, Device]]:
    """Return `(backend, precision, device)` to try, best first; the last one always works."""
    has_gpu = _has_gpu(device)
    int8 = package.card.precision == "int8"
    how = "int8" if int8 else precision
    order: list[tuple[str, str, Device]] = []
    if backend != "auto":
        order += [(backend, how, device), (backend, "int8" if int8 else "fp32", device)]
    elif int8:
        order.append(("openvino", how, "cpu"))
    elif has_gpu and how != "int8":
        first, second = ("onnx", "torch") if how == "fp32" else ("torch", "onnx")
        order += [(first, how, "gpu"), (second, how, "gpu")]
    if backend == "auto" and how == "bf16":
        order += [("openvino", how, "cpu"), ("torch", how, "cpu")]
    elif backend == "auto" and how not in ("fp32", "int8"):
        order.append(("torch", how, device))
    if how == "int8":
        order.append(("onnx", how, "cpu"))
    if not int8:
        order.append(("onnx", "fp32", "cpu"))
        if package.path(".onnx") is None:
            order.append(("torch", "fp32", "cpu"))
    return list(dict.fromkeys(order))


def _has_gpu(device: Device) -> bool:
    return device != "cpu" and bool(gpu_names() or has_metal())


def _backend(name: str) -> Backend:
    module = importlib.import_module(f"wetgate.backends.{name}")
    made: Backend = getattr(module, _CLASSES[name])()
    return made


def _explained(choice: Choice, refused: list[str], backend: str, precision: str) -> Choice:
    """Put what was asked for and could not be had behind the choice's own reason."""
    if not refused:
        return choice
    asked = " ".join(word for word in (backend if backend != "auto" else "", precision) if word)
    fell_back = (backend not in ("auto", choice.backend)) or choice.precision != precision
    return replace(
        choice,
        fell_back=fell_back or choice.fell_back,
        reason=f"{choice.reason}; asked for {asked}, but {'; '.join(refused)}",
    )
