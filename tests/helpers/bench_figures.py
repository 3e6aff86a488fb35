"""What a benchmark measures: rounds of calls, the rate and the latencies of a round, and the medians of rounds.

The machine is never quiet, so one round says little: every figure is the median of rounds, and what is to be compared
is measured in turn within each of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Figures:
    """How fast something was.

    Attributes:
        rate: calls a second, of all clients together.
        p50_us, p99_us: how long a call took, in microseconds: of half of them at most, of 99 in a hundred at most.
    """

    rate: float
    p50_us: float
    p99_us: float

    @classmethod
    def of_round(cls, latencies_s: Sequence[float], span_s: float) -> Self:
        """Make the figures of one round.

        Args:
            latencies_s: of each call; at least one.
            span_s: from the begin of the first to the end of the last.
        """
        return cls(len(latencies_s) / span_s, percentile_us(latencies_s, 50), percentile_us(latencies_s, 99))

    @classmethod
    def median(cls, rounds: Sequence[Figures]) -> Self:
        """Take each figure's median."""
        return cls(
            statistics.median(figures.rate for figures in rounds),
            statistics.median(figures.p50_us for figures in rounds),
            statistics.median(figures.p99_us for figures in rounds),
        )


def percentile_us(latencies_s: Sequence[float], percent: int) -> float:
    """Give the latency that so many percent do not exceed, in microseconds."""
    ordered = sorted(latencies_s)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] * 1_000_000


def timed(call: Callable[[int], object], seconds: float, most: int | None = None) -> Figures:
    """Call again and again, one after the other.

    Args:
        call: gets the number of the call, from 0 on.
        seconds: for how long.
        most: end after so many calls, also if there is time left.
    """
    latencies: list[float] = []
    started = before = time.perf_counter()
    ends = started + seconds
    while before < ends and (most is None or len(latencies) < most):
        call(len(latencies))
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
    return Figures.of_round(latencies, before - started)
