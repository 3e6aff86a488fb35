"""Every engine equals the model, whatever is done to it, in whatever order."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from helpers.asynchronous import DEADLINE_S
from helpers.model_store import Model
from helpers.store_engines import ENGINES, Engine
from secretd.store.base import Change, Compacted, Delete, Operation, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Record

T = TypeVar("T")

# Few keys, so that operations meet; the bytes are those at which an order or the end of a prefix goes wrong.
KEYS = st.sampled_from(
    [bytes(key) for length in (1, 2) for key in itertools.product(b"\x00a\xfe\xff", repeat=length)] + [b"a\xff\xff"]
)
PREFIXES = st.one_of(st.just(b""), KEYS)
VALUES = st.sampled_from([b"", b"\0", b"value", b"v" * 5000])
WRITES = st.dictionaries(KEYS, st.one_of(st.none(), VALUES), min_size=1, max_size=8)
HOLDING = st.dictionaries(KEYS, st.booleans(), max_size=3)
"""Keys with a precondition, and whether it is to hold."""


class StoreMachine(RuleBasedStateMachine):
    """The same calls for the engine and the model."""

    engine: ClassVar[Engine]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.model = Model()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(DEADLINE_S):
                return await work

        return self.runner.run(bounded())

    @initialize()
    def open(self) -> None:
        self.store: Store = self.run(self._open())
        self.opened_at = self.model.revision

    async def _open(self) -> Store:
        return await self.engine.open(Path(self.directory.name))

    @precondition(lambda self: self.engine.durable)
    @rule()
    def reopen(self) -> None:
        self.run(self.store.close())
        self.open()

    @rule(writes=WRITES, holding=HOLDING)
    def commit(self, writes: dict[bytes, bytes | None], holding: dict[bytes, bool]) -> None:
        operations, conditions = self._commit_of(writes, holding)
        expected = self._outcome_of_model(operations, conditions)
        assert self.run(self._outcome(operations, conditions)) == expected

    @rule(commits=st.lists(st.tuples(WRITES, HOLDING), min_size=2, max_size=5))
    def commit_together(self, commits: list[tuple[dict[bytes, bytes | None], dict[bytes, bool]]]) -> None:
        # Those who wait together are served in the order in which they asked.
        wanted = [self._commit_of(*commit) for commit in commits]
        expected = [self._outcome_of_model(*commit) for commit in wanted]

        async def together() -> list[int | tuple[bytes, ...]]:
            return await asyncio.gather(*(self._outcome(*commit) for commit in wanted))

        assert self.run(together()) == expected

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.run(self.store.get(key)) == self.model.records.get(key)

    @rule(prefix=PREFIXES, start=st.one_of(st.none(), KEYS), limit=st.integers(1, 4))
    def scan(self, prefix: bytes, start: bytes | None, limit: int) -> None:
        records: list[Record] = []
        following = start
        while True:
            page = self.run(self.store.scan(prefix, following, limit))
            assert len(page.records) <= limit
            records += page.records
            following = page.next_start
            if following is None:
                break
        assert records == self.model.scan(prefix, start or b"")

    @rule(prefix=PREFIXES, back=st.integers(0, 12))
    def watch(self, prefix: bytes, back: int) -> None:
        revision = max(0, self.model.revision - back)
        outcome = self.run(self._changes(prefix, revision))
        if isinstance(outcome, Compacted):
            assert revision < self.opened_at
            assert revision < outcome.oldest <= self.model.revision
        else:
            assert outcome == self.model.changes_after(revision, prefix)

    @invariant()
    def numbers(self) -> None:
        if not hasattr(self, "store"):
            return
        assert self.run(self.store.revision()) == self.model.revision
        for kind in (b"\x00", b"a", b"\xfe", b"\xff"):
            assert self.run(self.store.count(kind)) == self.model.count(kind)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    def _commit_of(
        self, writes: dict[bytes, bytes | None], holding: dict[bytes, bool]
    ) -> tuple[list[Operation], list[RevisionIs]]:
        operations = [Delete(key) if value is None else Put(key, value) for key, value in writes.items()]
        conditions = [
            RevisionIs(key, self.model.revision_of(key) if holds else self.model.revision + 100)
            for key, holds in holding.items()
        ]
        return operations, conditions

    def _outcome_of_model(self, operations: list[Operation], conditions: list[RevisionIs]) -> int | tuple[bytes, ...]:
        return self.model.conflicts(conditions) or self.model.commit(operations, conditions)

    async def _outcome(self, operations: list[Operation], conditions: list[RevisionIs]) -> int | tuple[bytes, ...]:
        try:
            return await self.store.commit(operations, conditions)
        except RevisionConflict as conflict:
            return conflict.keys

    async def _changes(self, prefix: bytes, revision: int) -> list[Change] | Compacted:
        """Read what the model says has come; a last change, made for this, shows that there was no other."""
        marker = prefix + b"~"
        self.model.commit([Put(marker, b"")], [])
        await self.store.commit([Put(marker, b"")])
        changes: list[Change] = []
        try:
            async for change in self.store.watch(prefix, revision):
                changes.append(change)
                if change.revision == self.model.revision:
                    break
        except Compacted as compacted:
            return compacted
        return changes


@pytest.mark.parametrize("engine", [pytest.param(engine, id=engine.name) for engine in ENGINES])
def test_the_store_equals_the_model(engine: Engine) -> None:
    class Machine(StoreMachine):
        pass

    Machine.engine = engine
    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30))
