"""Both clients behind one function, so that a case holds for the one and the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from secretd.client import AsyncClient, Client
from secretd.operations import Reply, Request

Outcome = Reply | Exception
Ask = Callable[..., list[Outcome]]


def ask_blocking(path: Path, *requests: Request[Reply], descriptors: bool = False) -> list[Outcome]:
    """Make calls on one connection, one after the other; give what each came to."""
    outcomes: list[Outcome] = []
    with Client(path, timeout_s=10.0, descriptors=descriptors) as client:
        for request in requests:
            try:
                outcomes.append(client.call(request))
            except Exception as error:  # noqa: BLE001 - the test looks at it
                outcomes.append(error)
    return outcomes


def ask_asyncio(path: Path, *requests: Request[Reply], descriptors: bool = False) -> list[Outcome]:
    """Make calls on one connection, one after the other; give what each came to."""

    async def ask() -> list[Outcome]:
        outcomes: list[Outcome] = []
        async with asyncio.timeout(10.0), await AsyncClient.connect(path, descriptors=descriptors) as client:
            for request in requests:
                try:
                    outcomes.append(await client.call(request))
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    outcomes.append(error)
        return outcomes

    return asyncio.run(ask())


def descriptors_in_use() -> set[str]:
    """Name the descriptors of this process."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir would hold one more open
