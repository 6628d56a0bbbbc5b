"""Restore film and video frame sequences, and change nothing else.

`restore` runs a recipe over a plate; `open_clip` gives its frames. Both load their machinery on
first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
