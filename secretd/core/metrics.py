"""What is counted of the operations: how many, how they ended and how long they took.

Counting is a few additions, as it happens for every request; what monitoring wants to read is made of it only when
that is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

BUCKETS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""The upper ends of the classes of durations; the last class has none."""


@dataclass(slots=True)
class _Counted:
    total_s: float = 0.0
    in_class: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))


@dataclass(frozen=True, slots=True)
class Durations:
    """How long one operation took when it ended in one way.

    Attributes:
        operation: its name.
        outcome: ``ok``, or the code of the error it was answered with.
        total_s: all of them added up.
        at_most: how many took at most as long as each of BUCKETS_S, and last how many there were.
    """

    operation: str
    outcome: str
    total_s: float
    at_most: tuple[int, ...]


class Metrics:
    """What was counted since the start."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], _Counted] = {}

    def count(self, operation: str, outcome: str, took_s: float) -> None:
        """Count an operation that has ended."""
        counted = self._counted.get((operation, outcome))
        if counted is None:
            counted = self._counted[operation, outcome] = _Counted()
        counted.total_s += took_s
        counted.in_class[bisect_left(BUCKETS_S, took_s)] += 1

    def durations(self) -> Iterator[Durations]:
        """Give what was counted, in the order of names."""
        for (operation, outcome), counted in sorted(self._counted.items()):
            yield Durations(operation, outcome, counted.total_s, tuple(accumulate(counted.in_class)))
