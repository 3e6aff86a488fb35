"""How clients load the daemon: one, 32 at once, and 500 that come, read one value and leave.

One client is the blocking one, in the benchmark's own process.  Many are the asyncio ones, in two processes beside
it.  All use the library as any program would, so what it costs to write a request and to read a reply is part of
every figure, and where the daemon is faster than that, 32 clients measure themselves.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import TracebackType
from typing import Self

from helpers.bench_cases import CASES, CLIENTS, Case, Share
from helpers.bench_figures import Figures, timed
from secretd import operations as ops
from secretd.client import AsyncClient, Client

PROCESSES = 2
STORM_CLIENTS = 500

_begin: Barrier
"""Where the processes wait for each other before each round; each has it from its start."""


def one_client(client: Client, name: str, seconds: float) -> Figures:
    """Measure a round of one client."""
    case, share = CASES[name], Share(0)
    if case.before is not None:
        for call in range(case.calls or 1):
            client.call(case.before(share, call))
    return timed(lambda call: client.call(case.make(share, call)), seconds, case.calls)


class ManyClients:
    """The processes that the other clients are in. To be made before this process has threads."""

    def __init__(self) -> None:
        fork = multiprocessing.get_context("fork")
        self._pool = ProcessPoolExecutor(PROCESSES, fork, _take_barrier, (fork.Barrier(PROCESSES),))

    def measure(self, socket: Path, name: str, seconds: float) -> Figures:
        """Measure a round of 32 clients."""
        clients = [range(1 + process, CLIENTS + 1, PROCESSES) for process in range(PROCESSES)]
        rounds = [self._pool.submit(_many, socket, name, seconds, numbers) for numbers in clients]
        latencies, begun, ended = zip(*(done.result() for done in rounds), strict=True)
        return Figures.of_round([one for some in latencies for one in some], max(ended) - min(begun))

    def storm(self, socket: Path, clients: int = STORM_CLIENTS) -> float:
        """Let clients connect, read one value and leave, all at once; gives the seconds until the last has."""
        visits = [self._pool.submit(_storm, socket, clients // PROCESSES) for _ in range(PROCESSES)]
        begun, ended = zip(*(done.result() for done in visits), strict=True)
        return float(max(ended) - min(begun))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()


def _take_barrier(barrier: Barrier) -> None:
    global _begin  # noqa: PLW0603  # a worker process has no other place for what it is started with
    _begin = barrier


def _many(socket: Path, name: str, seconds: float, numbers: Sequence[int]) -> tuple[list[float], float, float]:
    """Be some of the clients; gives the latencies of their calls, and the moments of begin and end."""
    return asyncio.run(_run_many(socket, CASES[name], seconds, [Share(number) for number in numbers]))


async def _run_many(
    socket: Path, case: Case, seconds: float, shares: Sequence[Share]
) -> tuple[list[float], float, float]:
    clients = [await AsyncClient.connect(socket) for _ in shares]
    # Each needs fewer calls for more of them in sum than one client makes.
    calls = case.calls and case.calls // 4
    if case.before is not None:
        for call in range(calls or 1):
            await asyncio.gather(*(one.call(case.before(own, call)) for one, own in zip(clients, shares, strict=True)))
    _begin.wait()
    begun = time.monotonic()
    pairs = zip(clients, shares, strict=True)
    latencies = await asyncio.gather(*(_ask(one, own, case, begun + seconds, calls) for one, own in pairs))
    ended = time.monotonic()
    for client in clients:
        await client.close()
    return [one for some in latencies for one in some], begun, ended


async def _ask(client: AsyncClient, share: Share, case: Case, ends: float, calls: int | None) -> list[float]:
    latencies = list[float]()
    before = time.monotonic()
    while before < ends and (calls is None or len(latencies) < calls):
        await client.call(case.make(share, len(latencies)))
        now = time.monotonic()
        latencies.append(now - before)
        before = now
    return latencies


def _storm(socket: Path, clients: int) -> tuple[float, float]:
    async def visit() -> None:
        async with await AsyncClient.connect(socket) as client:
            await client.call(ops.GetValue(Share(0).short(0)))

    async def run() -> tuple[float, float]:
        _begin.wait()
        begun = time.monotonic()
        await asyncio.gather(*(visit() for _ in range(clients)))
        return begun, time.monotonic()

    return asyncio.run(run())
