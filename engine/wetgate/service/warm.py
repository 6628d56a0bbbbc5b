"""Child processes that are kept warm to look at pictures, so that the service never does."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from wetgate.service.protocol import ToldError
from wetgate.service.runner import apart

_log = logging.getLogger(__name__)

LOOKER = "wetgate.service.looker"
_ANSWER_LIMIT = 64 << 20
_END_SECONDS = 2.0


class WarmChild:
    """A process that answers one request at a time, and is started again when it has died.

    Attributes:
        used: when it last answered, monotonic seconds.
    """

    def __init__(self) -> None:
        self.used = time.monotonic()
        self._process: Process | None = None
        self._errors: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._turn.locked()

    async def ask(self, verb: str, facts: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            ToldError: the child refused, died or took too long.
        """
        async with self._turn:
            try:
                return await asyncio.wait_for(self._ask(verb, facts), seconds)
            except asyncio.TimeoutError:
                await self._kill()
                raise ToldError(
                    "ServiceError", f"{verb} took longer than {seconds:g} s and was stopped", 2
                ) from None
            except BaseException as error:
                if not isinstance(error, ToldError):
                    await self._kill()  # an answer still to come would be taken for the next one's
                raise
            finally:
                self.used = time.monotonic()

    async def _ask(self, verb: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        process = await self._started()
        assert process.stdin is not None and process.stdout is not None
        line = b""
        with suppress(OSError):
            process.stdin.write(json.dumps({"do": verb, **facts}).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        if not line.endswith(b"\n"):
            await self._kill()
            code = process.returncode
            raise ToldError("ServiceError", f"the process for {verb} died (code {code})", 2)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ToldError.of(answer["error"])
        return answer

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                LOOKER,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=_ANSWER_LIMIT,
                **apart(),
            )
            self._errors = asyncio.ensure_future(_log_errors(self._process))
        return self._process

    async def close(self) -> None:
        """End the process: its input ends, and it is killed when that does not help."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        await self._kill()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if self._errors is not None:
            await asyncio.wait({self._errors}, timeout=1)
        # The pipes would otherwise stay open until the garbage is collected.
        process._transport.close()  # type: ignore[attr-defined]


async def _log_errors(process: Process) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        _log.warning("looker %d: %s", process.pid, line.decode("utf-8", "replace").rstrip())
