"""secretd beside a real libvirtd, with the same client, in one run: contrib/bench --libvirt.

Both daemons run over the same secrets, and every operation is measured at the one and then at the other before the
next one's turn, so that a noisy moment harms none alone.  What is compared are the rates within a round.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from helpers.bench_figures import Figures
from helpers.bench_libvirt_daemons import Daemon, Libvirtd, RunningLibvirtd, Secretd, named
from helpers.bench_libvirt_workers import Workers, require_binding
from helpers.bench_run import Report

SIZES = (2_000, 16_000)
"""How many secrets: libvirt's list ends at 16,384."""

MANY = 16
STARTS = 3


@dataclass(frozen=True)
class Asked:
    """How many times libvirtd's rate secretd is to have.

    Attributes:
        times: at every size but the largest; None if nothing is asked.
        of_most: at the largest, where that is another figure.
    """

    times: float | None = None
    of_most: float | None = None

    def at(self, *, largest: bool) -> float | None:
        """Give what is asked at a size."""
        return self.of_most if largest and self.of_most is not None else self.times


ONE: dict[str, Asked] = {
    "get-value": Asked(2),
    "lookup-by-uuid": Asked(2),
    "lookup-by-usage": Asked(2, of_most=10),
    "dumpxml": Asked(2),
    "list": Asked(2),
    "count": Asked(2, of_most=10),
    "set-value": Asked(1),
    "redefine": Asked(1),
    "define": Asked(1),
    "undefine": Asked(),
}
"""What one client does, in this order: what was defined is undefined at once."""

TOGETHER: dict[str, Asked] = {
    "get-value": Asked(),
    "set-value": Asked(3),
    "define": Asked(3),
    "undefine": Asked(),
}
"""What 16 do; asked is how many times the rate that one client has with libvirtd."""

START = Asked(of_most=10)


def run_libvirt(
    root: Path, rounds: int, seconds: float, sizes: Sequence[int] = SIZES, uri: str | None = None, starts: int = STARTS
) -> Report:
    """Measure both at several sizes; skips the test where libvirtd or its binding is missing.

    Args:
        root: an empty directory, on the disk that is meant, which an ordinary user can reach.
        rounds: how many; every figure is their median.
        seconds: for each figure of a round.
        sizes: how many secrets, the largest last.
        uri: of a libvirtd that runs already; None to start the host's.
        starts: how often each is started, if libvirtd is started here.

    Raises:
        NotEmptyError: the libvirtd that runs already has secrets.
    """
    require_binding()
    # The libvirtd of root's benchmark is an ordinary user's.
    root.chmod(0o711)
    with Workers(1) as one, Workers(MANY) as many:
        pairs = [(Secretd(root / f"secretd-{size}"), _libvirtd(root / f"libvirtd-{size}", uri)) for size in sizes]
        return {
            "machine": {
                "python": platform.python_version(),
                "system": platform.release(),
                "processor": platform.machine(),
                "libvirtd": pairs[0][1].version or "running",
            },
            "rounds": rounds,
            "clients": MANY,
            "sizes": [
                _Side(pair, size, (one, many), largest=size == sizes[-1]).run(rounds, seconds, starts)
                for pair, size in zip(pairs, sizes, strict=True)
            ],
        }


def _libvirtd(root: Path, uri: str | None) -> Daemon:
    return RunningLibvirtd(uri) if uri is not None else Libvirtd(root)


class _Side:
    """The side by side at one size."""

    def __init__(self, pair: tuple[Daemon, Daemon], size: int, clients: tuple[Workers, Workers], *, largest: bool):
        self._pair = pair
        self._size = size
        self._one, self._many = clients
        self._largest = largest
        self._rounds: list[dict[tuple[str, str, int], Figures]] = []

    def run(self, rounds: int, seconds: float, starts: int) -> Report:
        for daemon in self._pair:
            daemon.fill(self._size)
        report: Report = {"secrets": self._size}
        if all(daemon.starts_here for daemon in self._pair):
            report["start"] = self._start(starts)
        with ExitStack() as held:
            for daemon in self._pair:
                self._open(daemon, held)
            for _ in range(rounds):
                self._rounds.append(self._round(seconds))
        report["operations"] = [
            *(self._compare(name, 1, asked) for name, asked in ONE.items()),
            *(self._compare(name, len(self._many), asked) for name, asked in TOGETHER.items()),
        ]
        return report

    def _start(self, starts: int) -> Report:
        """Measure from the start to the first answer: how many secrets there are."""
        spans: dict[str, list[float]] = {daemon.name: [] for daemon in self._pair}
        for daemon in list(self._pair) * starts:
            begun = time.perf_counter()
            with daemon.serving() as uri:
                self._one.open(daemon.name, uri, [[]])
                spans[daemon.name].append(time.perf_counter() - begun)
                self._one.close(daemon.name)
        ratio = statistics.median(
            theirs / ours for ours, theirs in zip(*(spans[daemon.name] for daemon in self._pair), strict=True)
        )
        medians = {name: statistics.median(each) for name, each in spans.items()}
        return {**medians, "ratio": ratio, "asked": START.at(largest=self._largest), "found": ratio}

    def _open(self, daemon: Daemon, held: ExitStack) -> None:
        uri = held.enter_context(daemon.serving())
        secrets = named(self._size)
        for workers in (self._one, self._many):
            count = len(workers)
            workers.open(daemon.name, uri, [secrets[first::count] for first in range(count)])
            held.callback(workers.close, daemon.name)

    def _round(self, seconds: float) -> dict[tuple[str, str, int], Figures]:
        return {
            (daemon.name, name, len(workers)): workers.measure(daemon.name, name, seconds)
            for workers, names in ((self._one, ONE), (self._many, TOGETHER))
            for name in names
            for daemon in self._pair
        }

    def _compare(self, name: str, clients: int, asked: Asked) -> Report:
        ours, theirs = self._pair
        medians = {
            daemon.name: asdict(Figures.median([figures[daemon.name, name, clients] for figures in self._rounds]))
            for daemon in self._pair
        }
        ratio, found = (
            statistics.median(
                figures[ours.name, name, clients].rate / figures[theirs.name, name, against].rate
                for figures in self._rounds
            )
            for against in (clients, 1)
        )
        return {
            "name": name,
            "clients": clients,
            **medians,
            "ratio": ratio,
            "asked": asked.at(largest=self._largest),
            "found": found,
        }
