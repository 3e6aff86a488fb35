"""Rounds of a daemon's life that end with SIGKILL, as tests/durability and contrib/crash run them."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from uuid import UUID

from helpers.daemon import RunningDaemon
from helpers.load import State, audit_copy, check_by_client, judge, make_workers, under_load

LIFE_S = (0.05, 0.6)
"""How long a daemon is under load before it is killed: from the first answers to some checkpoints."""

FAULTS_SHOWN = 5


class KillRounds:
    """One store, and a daemon that is killed at a random moment of each round."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._random = random.Random(seed)
        self._workers = make_workers(seed)
        self._seen: dict[UUID, State] = {}
        self.rounds = 0
        self.made_unanswered = 0
        self.faults: list[str] = []

    @property
    def answered(self) -> int:
        """How many changes were answered up to now."""
        return sum(worker.answered for worker in self._workers)

    def run_one(self) -> None:
        """Start the daemon, look at what it shows, put it under load, kill it, and audit what it leaves."""
        with RunningDaemon(self._root) as daemon:
            check_by_client(daemon.socket, self._seen)
            with under_load(daemon.socket, self._workers):
                # Nothing is waited for: any moment will do, and this draws one.
                threading.Event().wait(self._random.uniform(*LIFE_S))
                daemon.kill()
        self._seen = audit_copy(daemon.data, daemon.config, self._root / "audit")
        made, faults = judge(self._workers, self._seen)
        self.made_unanswered += made
        self.faults += faults[:FAULTS_SHOWN]
        self.rounds += 1
