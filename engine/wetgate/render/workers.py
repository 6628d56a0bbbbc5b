"""Tile workers: a bounded set of threads that keep the order of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """Runs a function over items on `count` threads; on the caller's own when `count` is 1."""

    def __init__(self, count: int) -> None:
        self.count = max(1, count)
        self._pool = (
            ThreadPoolExecutor(self.count, thread_name_prefix="wetgate-tile")
            if self.count > 1
            else None
        )

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item], *, side_by_side: bool
    ) -> list[_Result]:
        """Return the results in the order of the items.

        Args:
            side_by_side: False runs one after the other, where memory is short.

        Raises:
            Exception: the first error of any item, after all running items have ended.
        """
        todo = list(items)
        if self._pool is None or not side_by_side or len(todo) == 1:
            return [function(item) for item in todo]
        futures = [self._pool.submit(function, item) for item in todo]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            wait(futures)
            raise
