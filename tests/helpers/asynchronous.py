"""Run a coroutine in a test, with a deadline instead of patience."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""Far longer than any test takes: only what hangs meets it."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` on a loop of its own, and fail if it does not end."""
    return asyncio.run(_bounded(work))


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        return await work
