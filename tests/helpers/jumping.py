"""A loop on which time passes at once where nothing else happens: for what takes minutes, or has to take none."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at what is there, and where a loop would wait for time to pass, has it pass."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # What another thread has under way (the store's) is given a moment of real time first.
        ready = super().select(0.002 if timeout is None or timeout > 0 else 0)
        if not ready and timeout is not None:
            self.passed_s += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop on which hours pass at once, if there is nothing else to do."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.passed_s


def jump(work: Coroutine[Any, Any, None]) -> None:
    """Run a test on a loop of that kind."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(work)
