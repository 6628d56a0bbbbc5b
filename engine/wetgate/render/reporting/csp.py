"""How the content policy of an offline page names what it lets run."""

from __future__ import annotations

import base64
import hashlib


def policy_hash(text: str) -> str:
    """Return what a content policy calls a style sheet or a script by."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
