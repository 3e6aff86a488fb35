"""A whole run: a daemon over a store of 1,000 secrets, its yardsticks and its operations in turn, round after round."""

from __future__ import annotations

import platform
import statistics
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from helpers.bench_cases import CASES, CLIENTS, SECRETS
from helpers.bench_figures import Figures
from helpers.bench_load import STORM_CLIENTS, ManyClients, one_client
from helpers.bench_store import fill
from helpers.bench_yardsticks import Yardsticks
from helpers.daemon import RunningDaemon
from helpers.starving import resident_bytes
from secretd import operations as ops
from secretd.client import Client

Report = dict[str, Any]
"""What ``--json`` prints: numbers and names, nothing else."""


def filled_daemon(root: Path, secrets: int) -> tuple[RunningDaemon, float]:
    """Fill a store and start its daemon; gives the seconds from the start to the first answer too."""
    fill(root / "data" / "secretd", root / "config" / "secretd", secrets)
    begun = time.perf_counter()
    daemon = RunningDaemon(root)
    with Client(daemon.socket) as client:
        client.call(ops.Whoami())
        return daemon, time.perf_counter() - begun


def run(root: Path, rounds: int, seconds: float, storm_clients: int = STORM_CLIENTS) -> Report:
    """Measure everything but the scale.

    Args:
        root: an empty directory, on the disk that is meant.
        rounds: how many; every figure is their median.
        seconds: for each figure of a round.
        storm_clients: how many come at once.
    """
    with ManyClients() as many, Yardsticks(root / "yardsticks") as yardsticks:
        daemon, first_answer_s = filled_daemon(root, SECRETS)
        with daemon, Client(daemon.socket) as client:
            at_start = resident_bytes(daemon.process.pid)
            kept = _Rounds()
            for _ in range(rounds):
                kept.take("yardsticks", yardsticks.measure(seconds))
                kept.take("one", {name: one_client(client, name, seconds) for name in CASES})
                kept.take("many", {name: many.measure(daemon.socket, name, seconds) for name in CASES})
                kept.storms.append(many.storm(daemon.socket, storm_clients))
            memory = {"start_bytes": at_start, "end_bytes": resident_bytes(daemon.process.pid)}
    return {
        "machine": {"python": platform.python_version(), "system": platform.release(), "processor": platform.machine()},
        "rounds": rounds,
        "clients": CLIENTS,
        **kept.report(),
        "storm": {"clients": storm_clients, "seconds": statistics.median(kept.storms)},
        "first_answer_s": first_answer_s,
        "memory": memory,
    }


class _Rounds:
    """The figures of all rounds."""

    def __init__(self) -> None:
        self.storms: list[float] = []
        self._figures: dict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))

    def take(self, group: str, figures: dict[str, Figures]) -> None:
        for name, one in figures.items():
            self._figures[group][name].append(one)

    def report(self) -> Report:
        yardsticks, one, many = (
            {name: Figures.median(rounds) for name, rounds in self._figures[group].items()}
            for group in ("yardsticks", "one", "many")
        )
        return {
            "yardsticks": {name: asdict(figures) for name, figures in yardsticks.items()},
            "operations": {
                name: {
                    "one": asdict(one[name]),
                    "many": asdict(many[name]),
                    "yardstick": case.yardstick,
                    "of_yardstick": one[name].rate / yardsticks[case.yardstick].rate,
                    "many_of_one": many[name].rate / one[name].rate,
                }
                for name, case in CASES.items()
            },
        }
