"""The same questions to stores of 1,000, 100,000 and 1,000,000 secrets: what does it cost that there are more?

The daemons of all sizes run beside each other and are asked in turn, so that a noisy moment harms no size alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from helpers.bench_figures import Figures, timed
from helpers.bench_run import Report, filled_daemon
from helpers.bench_store import ids, usage
from helpers.daemon import RunningDaemon
from helpers.starving import resident_bytes
from secretd import limits
from secretd import operations as ops
from secretd.client import Client

SIZES = (1_000, 100_000, 1_000_000)

_Ask = Callable[[int], ops.Request[Any]]


def run_scale(root: Path, rounds: int, seconds: float, sizes: Sequence[int] = SIZES) -> list[Report]:
    """Measure stores of several sizes.

    Args:
        root: an empty directory; the largest store takes about a gigabyte.
        rounds: how many; every figure is their median.
        seconds: for each figure of a round.
        sizes: how many secrets.
    """
    with ExitStack() as held:
        stores = [_Store(root / str(size), size, held) for size in sizes]
        for _ in range(rounds):
            for store in stores:
                store.measure(seconds)
        return [store.report() for store in stores]


class _Store:
    """A store of one size, and its daemon."""

    def __init__(self, root: Path, size: int, held: ExitStack) -> None:
        root.mkdir()
        self._size = size
        self._ids = ids(size)
        self._daemon: RunningDaemon
        self._daemon, self._first_answer_s = filled_daemon(root, size)
        held.enter_context(self._daemon)
        self._client = held.enter_context(Client(self._daemon.socket))
        self._chance = random.Random(size)
        self._questions: dict[str, _Ask] = {
            "get-value": lambda _: ops.GetValue(self._ids[self._any()]),
            "lookup-by-usage": lambda _: ops.LookupByUsage(usage(self._any())),
            "list 1000": lambda _: ops.List(int(limits.PAGE_ENTRIES), self._ids[self._any() // 2]),
            "status": lambda _: ops.Status(),
        }
        self._rounds: dict[str, list[Figures]] = {name: [] for name in self._questions}

    def measure(self, seconds: float) -> None:
        for name, ask in self._questions.items():
            self._rounds[name].append(timed(partial(self._call, ask), seconds))

    def report(self) -> Report:
        return {
            "secrets": self._size,
            "first_answer_s": self._first_answer_s,
            "memory_bytes": resident_bytes(self._daemon.process.pid),
            "operations": {name: asdict(Figures.median(rounds)) for name, rounds in self._rounds.items()},
        }

    def _call(self, ask: _Ask, call: int) -> None:
        self._client.call(ask(call))

    def _any(self) -> int:
        return self._chance.randrange(self._size)
