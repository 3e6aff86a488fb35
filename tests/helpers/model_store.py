"""The store as a dict: what every engine is compared with, and a store for tests that need no disk.

``Model`` says what each call must give, step by step and without asyncio.  ``ModelStore`` puts it behind the
production interface; the contract's suite runs on it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Self

from secretd import limits
from secretd.store.base import Change, Compacted, Operation, Put, RevisionConflict, RevisionIs, Store
from secretd.store.reading import Page, Record, Snapshot
from secretd.store.summary import Replacement, Summary


class Model:
    """What a store holds, in the plainest form."""

    def __init__(self) -> None:
        self.records: dict[bytes, Record] = {}
        self.revision = 0
        self.changes: list[Change] = []
        self.summary: Summary | None = None

    def revision_of(self, key: bytes) -> int:
        return self.records[key].revision if key in self.records else 0

    def conflicts(self, preconditions: Sequence[RevisionIs]) -> tuple[bytes, ...]:
        return tuple(item.key for item in preconditions if self.revision_of(item.key) != item.revision)

    def commit(self, operations: Sequence[Operation], preconditions: Sequence[RevisionIs]) -> int:
        conflicts = self.conflicts(preconditions)
        if conflicts:
            raise RevisionConflict(conflicts)
        summarised = self._summarised(operations)
        self.revision += 1
        if self.summary is not None:
            self.records[self.summary.key] = Record(self.summary.key, summarised, self.revision)
        for operation in operations:
            if isinstance(operation, Put):
                self.records[operation.key] = Record(operation.key, operation.value, self.revision)
                self.changes.append(Change(self.revision, operation.key, deleted=False))
            elif self.records.pop(operation.key, None) is not None:
                self.changes.append(Change(self.revision, operation.key, deleted=True))
        return self.revision

    def _summarised(self, operations: Sequence[Operation]) -> bytes:
        if self.summary is None:
            return b""
        before = self.records.get(self.summary.key)
        return self.summary.after(
            before.value if before else None, list(self._replacements(operations)), self.revision + 1
        )

    def _replacements(self, operations: Sequence[Operation]) -> Iterable[Replacement]:
        for operation in operations:
            before = self.records[operation.key].value if operation.key in self.records else None
            after = operation.value if isinstance(operation, Put) else None
            if (before, after) != (None, None):
                yield Replacement(operation.key, before, after)

    def summarise(self) -> None:
        assert self.summary is not None
        key = self.summary.key
        records = [(record.key, record.value) for record in self.records.values() if record.key != key]
        self.records[key] = Record(key, self.summary.of(records, self.revision), self.revision)

    def scan(self, prefix: bytes, start: bytes) -> list[Record]:
        return [self.records[key] for key in sorted(self.records) if key.startswith(prefix) and key >= start]

    def count(self, kind: bytes) -> int:
        return len(self.scan(kind, b""))

    def changes_after(self, revision: int, prefix: bytes) -> list[Change]:
        return [change for change in self.changes if change.revision > revision and change.key.startswith(prefix)]


class ModelSnapshot(Snapshot):
    """A copy of the dict."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.revision)
        self._model = Model()
        self._model.records = dict(model.records)

    def _translating(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def _get(self, key: bytes) -> Record | None:
        return self._model.records.get(key)

    async def _count(self, kind: bytes) -> int:
        return self._model.count(kind)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        return page_of(self._model, prefix, start, limit)

    async def _damaged_parts(self) -> tuple[str, ...]:
        return ()

    async def _close(self) -> None:
        pass


def page_of(model: Model, prefix: bytes, start: bytes, limit: int) -> Page:
    records = model.scan(prefix, start)
    sizes = itertools.accumulate(len(record.value) for record in records)
    fit = max(1, sum(size <= limits.SCAN_BYTES for size in sizes))
    most = min(limit, fit)
    return Page(tuple(records[:most]), records[most].key if len(records) > most else None)


class ModelStore(Store):
    """A store in memory, gone when it is closed."""

    kind_name = "model"

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self._changed = asyncio.Event()
        self._oldest = 0

    @classmethod
    def check_location(cls, location: str) -> None:
        """Take any: a dict has no place."""

    @classmethod
    async def open(cls, location: str) -> Self:  # noqa: ARG003  # a dict has no place
        return cls()

    def _translating(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    async def _get(self, key: bytes) -> Record | None:
        return self.model.records.get(key)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        return page_of(self.model, prefix, start, limit)

    async def _commit(self, operations: tuple[Operation, ...], preconditions: tuple[RevisionIs, ...]) -> int:
        # As a real one does, it lets others run before it is done.
        await asyncio.sleep(0)
        revision = self.model.commit(operations, preconditions)
        self._wake()
        return revision

    def _keep_summary(self, summary: Summary) -> None:
        self.model.summary = summary

    async def _summarise(self, summary: Summary) -> int:
        self.model.summary = summary
        self.model.revision += 1
        self.model.summarise()
        return self.model.revision

    async def _replace_all(self, records: Iterable[tuple[bytes, bytes]], summary: Summary, least_revision: int) -> int:
        revision = max(self.model.revision + 1, least_revision)
        self.model.records = {key: Record(key, value, revision) for key, value in records}
        self.model.revision, self.model.summary = revision, summary
        self.model.summarise()
        self.model.changes.clear()
        self._oldest = revision
        self._wake()
        return revision

    async def _snapshot(self) -> Snapshot:
        return ModelSnapshot(self.model)

    async def _count(self, kind: bytes) -> int:
        return self.model.count(kind)

    async def _revision(self) -> int:
        return self.model.revision

    async def _watch(self, prefix: bytes, after_revision: int) -> AsyncGenerator[Change, None]:
        if not self._oldest <= after_revision <= self.model.revision:
            raise Compacted(self._oldest)
        seen = sum(change.revision <= after_revision for change in self.model.changes)
        while True:
            for change in self.model.changes[seen:]:
                seen += 1
                if change.key.startswith(prefix):
                    yield change
            if seen == len(self.model.changes):
                if self._closed:
                    return
                await self._changed.wait()

    async def _close(self) -> None:
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
