"""The contract of a store: sealed records by key, one order of revisions, commits that are all or nothing.

What it holds to, on every engine (tests/contract/ is the proof):

    a key has at most one record; keys are in byte order
    a commit is applied wholly or not at all, and gets a revision of its own, larger than any before it
    a record's revision is that of the commit that last put it; 0 stands for no record
    a read that starts after a commit was answered sees it
    changes come in the order of their revisions, each once, or the watcher is told that some are lost
    a summary that is kept is that of all commits up to the store's revision, after each of them

What it refuses, before it asks the engine: keys, values and commits past the limits, and a key that is twice in
a commit.  The core knows the limits too, so these are faults of ours: ValueError, and RuntimeError after close.
It looks into no value and never puts a key or a value into an error.

An engine subclasses Store and supplies the hooks (the methods with ``_``).  The public methods are final: they
keep the bounds, and let the engine's own errors pass only through ``_translating``.

Source: DESIGN, The store.  The bounds are those of the stricter engine to come, etcd.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Self, final

from secretd import limits
from secretd.store.reading import Reading, Snapshot, check_key
from secretd.store.summary import Summary


@dataclass(frozen=True, slots=True)
class Put:
    """Write a record, whether or not there is one."""

    key: bytes = field(repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record, if there is one."""

    key: bytes = field(repr=False)


Operation = Put | Delete


@dataclass(frozen=True, slots=True)
class RevisionIs:
    """A precondition: the record has this revision; 0 says that there is none."""

    key: bytes = field(repr=False)
    revision: int


@dataclass(frozen=True, slots=True)
class Change:
    """One record was put, or deleted, by the commit of this revision."""

    revision: int
    key: bytes = field(repr=False)
    deleted: bool


# Two exceptions of the border between core and store. They reach no peer, so they are not in the tree of errors.


class RevisionConflict(Exception):  # noqa: N818  # an answer that the core expects, not a failure
    """A precondition did not hold; nothing was applied.

    Attributes:
        keys: those whose revision was another, in the order of the preconditions.
    """

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        super().__init__("a precondition did not hold")
        self.keys = keys


class Compacted(Exception):  # noqa: N818  # as above
    """The changes asked for are no longer known, or not of this store: scan, then watch again.

    Attributes:
        oldest: the lowest revision that a watch may still start after.
    """

    def __init__(self, oldest: int) -> None:
        super().__init__(f"changes are known from revision {oldest} on")
        self.oldest = oldest


class Store(Reading):
    """A store that is open; it reads as Reading says."""

    kind_name: ClassVar[str]
    """The engine's name, as status shows it."""

    @classmethod
    @abstractmethod
    def check_location(cls, location: str) -> None:
        """Refuse a location that no store of this kind can have; looks at nothing but the text.

        Raises:
            ConfigError: says what a location looks like.
        """

    @classmethod
    @abstractmethod
    async def open(cls, location: str) -> Self:
        """Open the store at ``location``: what follows ``scheme://`` in its URL.

        Raises:
            ConfigError: the location cannot be a store's, or another process uses it.
            StoreUnavailableError: it cannot be reached, or a newer secretd wrote it.
            StoreCorruptError: what is there is no store.
        """

    @final
    async def commit(self, operations: Iterable[Operation], preconditions: Iterable[RevisionIs] = ()) -> int:
        """Apply all operations at once if all preconditions hold, and give the revision this made.

        It is answered once it is durable.  A caller that is cancelled while it waits does not undo it.

        Args:
            operations: at least one; changes are reported in this order.
            preconditions: judged before the operations.

        Raises:
            RevisionConflict: a precondition did not hold; nothing was applied.
            StoreUnavailableError: surely not applied.
            StoreOutcomeUnknownError: perhaps applied.
            StoreFullError: not applied, for lack of room.
            StoreCorruptError: not applied, as the store is damaged.
        """
        self._check_open()
        writes, conditions = tuple(operations), tuple(preconditions)
        _check_commit(writes, conditions)
        with self._translating():
            return await self._commit(writes, conditions)

    @final
    def keep_summary(self, summary: Summary) -> None:
        """Keep a summary from now on: each commit writes it, and is refused if it cannot be made."""
        self._check_open()
        self._keep_summary(summary)

    @final
    async def summarise(self, summary: Summary) -> int:
        """Make a summary anew from all records, in a commit of its own, and give its revision.

        It takes as long as there are records, and other commits wait for it.

        Args:
            summary: is kept from now on, if this succeeds.

        Raises:
            StoreError: as for commit.
        """
        self._check_open()
        with self._translating():
            return await self._summarise(summary)

    @final
    async def replace_all(
        self, records: Iterable[tuple[bytes, bytes]], summary: Summary, *, least_revision: int = 0
    ) -> int:
        """Put these records in the place of all there are, in one commit, and give its revision.

        Args:
            records: key and value of each, no key twice; may be read in another thread. What it raises undoes all.
            summary: is made anew from the records, and kept from now on if this succeeds.
            least_revision: the commit's revision is at least this.

        Raises:
            StoreError: as for commit.
        """
        self._check_open()
        with self._translating():
            return await self._replace_all(records, summary, least_revision)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Give the store as it is now, to be read while others go on changing it."""
        self._check_open()
        with self._translating():
            snapshot = await self._snapshot()
        try:
            yield snapshot
        finally:
            await snapshot.close()

    @final
    async def revision(self) -> int:
        """Give the latest revision that a watch may start after; 0 in a new store."""
        self._check_open()
        with self._translating():
            return await self._revision()

    @final
    def watch(self, prefix: bytes, after_revision: int) -> AsyncGenerator[Change, None]:
        """Follow the changes of keys that begin with ``prefix``, for as long as the store is open.

        One commit's changes share its revision: its last is known to have come when one of a later revision does.

        Raises:
            Compacted: (from the iterator) scan, then watch again.
        """
        self._check_open()
        if after_revision < 0 or len(prefix) > limits.STORE_KEY_BYTES:
            raise ValueError("a watch has a prefix no longer than a key, and starts after a revision")
        return self._translated(self._watch(prefix, after_revision))

    @final
    async def close(self) -> None:
        """Finish the commits that wait, end the watches, and let go of the store. Later calls do nothing."""
        if self._closed:
            return
        self._closed = True
        with self._translating():
            await self._close()

    async def _translated(self, changes: AsyncGenerator[Change, None]) -> AsyncGenerator[Change, None]:
        # The consumer's own exceptions stay outside of the translation: it spans the step, not the yield.
        async with aclosing(changes):
            while True:
                with self._translating():
                    change = await anext(changes, None)
                if change is None:
                    return
                yield change

    @abstractmethod
    async def _commit(self, operations: tuple[Operation, ...], preconditions: tuple[RevisionIs, ...]) -> int: ...

    @abstractmethod
    def _keep_summary(self, summary: Summary) -> None: ...

    @abstractmethod
    async def _summarise(self, summary: Summary) -> int: ...

    @abstractmethod
    async def _replace_all(
        self, records: Iterable[tuple[bytes, bytes]], summary: Summary, least_revision: int
    ) -> int: ...

    @abstractmethod
    async def _snapshot(self) -> Snapshot: ...

    @abstractmethod
    async def _revision(self) -> int: ...

    @abstractmethod
    def _watch(self, prefix: bytes, after_revision: int) -> AsyncGenerator[Change, None]: ...

    @abstractmethod
    async def _close(self) -> None: ...


def _check_commit(operations: tuple[Operation, ...], preconditions: tuple[RevisionIs, ...]) -> None:
    if not operations:
        raise ValueError("a commit writes something")
    if len(operations) + len(preconditions) > limits.COMMIT_OPERATIONS:
        raise ValueError(f"a commit has at most {limits.COMMIT_OPERATIONS} operations and preconditions")
    _check_keys(operations)
    _check_keys(preconditions)
    values = [operation.value for operation in operations if isinstance(operation, Put)]
    if any(len(value) > limits.STORE_VALUE_BYTES for value in values):
        raise ValueError(f"a value has at most {limits.STORE_VALUE_BYTES} bytes")
    keys = [item.key for item in (*operations, *preconditions)]
    if sum(map(len, values)) + sum(map(len, keys)) > limits.COMMIT_BYTES:
        raise ValueError(f"a commit has at most {limits.COMMIT_BYTES} bytes")
    if any(condition.revision < 0 for condition in preconditions):
        raise ValueError("a revision is at least 0")


def _check_keys(items: Sequence[Operation | RevisionIs]) -> None:
    for item in items:
        check_key(item.key)
    if len({item.key for item in items}) != len(items):
        raise ValueError("a key is at most once among the operations, and among the preconditions")
