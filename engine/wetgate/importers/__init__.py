"""The safe door for weights that were made elsewhere."""

from wetgate.importers.door import import_model
from wetgate.importers.known import KNOWN
from wetgate.importers.limits import Limits

__all__ = ["KNOWN", "Limits", "import_model"]
