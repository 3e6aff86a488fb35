"""Step a coroutine once by hand, so that an answer that need not wait costs neither a task nor a turn of the loop.

Most operations never wait: they are over after one step.  One that does wait is handed back as an awaitable
that goes on from where the step ended.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The coroutine ended in its first step."""

    result: T


class Waiting(Generic[T]):
    """The coroutine waits: await this to let it go on. To be awaited once, by a task."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], first: Any) -> None:
        self._coroutine = coroutine
        self._first = first

    def __await__(self) -> Generator[Any, Any, T]:
        # ``await coroutine`` refuses one that was started (Python: "being awaited already"), so this is
        # PEP 380's expansion of ``yield from``, begun after its first step.
        waits_for, self._first = self._first, None
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # all of them, as yield from does: it is not ours to judge
                resume = partial(self._coroutine.throw, error)
            else:
                resume = partial(self._coroutine.send, sent)
            # An error has this frame in its traceback. If this frame led back to it, they would keep one another, and
            # what all the other frames hold, values and passwords, until the garbage collector comes by.
            del waits_for
            try:
                waits_for = resume()
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                del resume


def step(coroutine: Coroutine[Any, Any, T]) -> Done[T] | Waiting[T]:
    """Run a coroutine up to where it first waits, or to its end.

    The first step runs outside any task: what needs asyncio.current_task (asyncio.timeout, say) has no place
    before a coroutine's first wait.
    """
    try:
        first = coroutine.send(None)
    except StopIteration as stop:
        return Done(stop.value)
    return Waiting(coroutine, first)
