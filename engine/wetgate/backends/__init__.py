"""Networks in sessions: one call to load a model package, one to run it on a tile.

`load_session` chooses a backend and says in words why; `apply_net` runs planes of any size and
gives the same result however the frame was cut.
"""

from wetgate.backends.base import BACKENDS, PRECISIONS, Choice, Session, SessionBase
from wetgate.backends.choose import (
    check_names,
    foresee,
    forget_sessions,
    load_session,
    loaded_sessions,
)
from wetgate.backends.tiled import Tiling, apply_net, fit_tiles

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Choice",
    "Session",
    "SessionBase",
    "Tiling",
    "apply_net",
    "check_names",
    "fit_tiles",
    "foresee",
    "forget_sessions",
    "load_session",
    "loaded_sessions",
]
