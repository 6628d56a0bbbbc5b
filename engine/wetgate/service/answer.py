"""The JSON of answers: ASCII, so that names of any bytes can be told."""

from __future__ import annotations

import json

from starlette.responses import JSONResponse


class Answer(JSONResponse):
    """An answer as JSON.

    A file name that is no UTF-8 has lone surrogates in Python (PEP 383); escaped they arrive as
    they are, where UTF-8 would refuse them and with them every other name of the answer.
    """

    def render(self, content: object) -> bytes:
        """Return the bytes of an answer.

        Raises:
            ValueError: a number in it is not finite.
        """
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
