"""The store in a directory of this host: SQLite, the default.

Point reads are answered on the event loop, where they take microseconds.  Scans go to one worker thread, and so do
commits, but for one that waits alone (see sqlite_pace).  Commits that wait while it works are taken together, up to
limits.GROUP_COMMITS, into one transaction, so that they share its fsync; each is still judged and answered by itself.
A commit is answered once it is on disk.

What it refuses: a directory that another process holds, and a database that is not ours or of a newer format.

Source: DESIGN, The store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, ParamSpec, Self, TypeVar
from urllib.parse import unquote

from secretd import limits
from secretd.errors import ConfigError, SecretdError
from secretd.store.base import Change, Operation, RevisionIs, Store
from secretd.store.changes import ChangeLog
from secretd.store.reading import Page, Record, Snapshot
from secretd.store.sqlite_database import Database, Reader
from secretd.store.sqlite_errors import Translating
from secretd.store.sqlite_pace import Pace
from secretd.store.sqlite_snapshot import SqliteSnapshot
from secretd.store.sqlite_transaction import Applied, Commit, Outcome
from secretd.store.summary import Summary

P = ParamSpec("P")
T = TypeVar("T")

_TRANSLATING = Translating()


@dataclass(frozen=True, slots=True)
class _Waiting:
    commit: Commit
    revision: asyncio.Future[int]


class SqliteStore(Store):
    """A store in a local directory; it belongs to the event loop that opened it."""

    kind_name = "sqlite"

    def __init__(self, path: Path, database: Database, reader: Reader, thread: ThreadPoolExecutor) -> None:
        super().__init__()
        self._path = path
        self._database = database
        self._reader = reader
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._changes = ChangeLog(reader.revision())
        self._waiting: deque[_Waiting] = deque()
        self._pace = Pace(self._loop)
        self._newest_work: Future[Any] | None = None
        self._untold = 0
        self._log_timer: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    @classmethod
    def check_location(cls, location: str) -> None:
        """Refuse what is no absolute path, percent-encoded where it must be."""
        _path(location)

    @classmethod
    async def open(cls, location: str) -> Self:
        """Open the store in the directory ``location``, an absolute path, percent-encoded where it must be."""
        path = _path(location)
        with ExitStack() as undo:
            thread = ThreadPoolExecutor(1, thread_name_prefix="store")
            undo.callback(thread.shutdown)
            # The loop stands still meanwhile: an open that could be cancelled half-way would leave a lock that nobody
            # lets go of.
            database = thread.submit(Database.open, path).result()
            undo.callback(lambda: thread.submit(database.close).result())
            with Translating():
                reader = Reader(path)
                undo.callback(reader.close)
                store = cls(path, database, reader, thread)
            undo.pop_all()
            return store

    def _translating(self) -> Translating:
        return _TRANSLATING

    def _get(self, key: bytes) -> Record | None:
        return self._reader.get(key)

    async def _count(self, kind: bytes) -> int:
        return self._reader.count(kind)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        return await asyncio.wrap_future(self._submit(self._database.scan, prefix, start, limit))

    async def _commit(self, operations: tuple[Operation, ...], preconditions: tuple[RevisionIs, ...]) -> int:
        commit = Commit(operations, preconditions)
        if self._pace.allows and self._all_is_told():
            return self._commit_here(commit)
        waiting = _Waiting(commit, self._loop.create_future())
        self._waiting.append(waiting)
        if self._quiet.is_set():
            self._quiet.clear()
            self._start_group()
        try:
            # If the caller is cancelled here, the future is, and the group goes on without anybody to answer.
            return await waiting.revision
        finally:
            # An error has this frame in its traceback, and may not be held by it: together they would keep one another,
            # and the values that the frames of the callers hold, until the garbage collector comes by.
            del waiting

    def _keep_summary(self, summary: Summary) -> None:
        self._database.summary = summary

    async def _summarise(self, summary: Summary) -> int:
        work = partial(self._database.summarise, summary)
        return await self._alone(work, lambda applied: self._changes.publish(applied.revision, ()))

    async def _replace_all(self, records: Iterable[tuple[bytes, bytes]], summary: Summary, least_revision: int) -> int:
        work = partial(self._database.replace_all, records, summary, least_revision)
        return await self._alone(work, lambda applied: self._changes.lose(applied.revision))

    async def _alone(self, work: Callable[[], Applied], tell: Callable[[Applied], None]) -> int:
        """Do what is a transaction by itself. A caller who is cancelled meanwhile does not undo it."""
        revision: asyncio.Future[int] = self._loop.create_future()
        self._untold += 1
        self._when_done(self._submit(work), partial(self._finish_alone, revision, tell))
        return await revision

    def _finish_alone(
        self, revision: asyncio.Future[int], tell: Callable[[Applied], None], work: Future[Applied]
    ) -> None:
        self._untold -= 1
        error = work.exception()
        if error is not None:
            _fail(revision, error)
            return
        tell(work.result())
        if not revision.done():
            revision.set_result(work.result().revision)

    async def _snapshot(self) -> Snapshot:
        self._database.snapshots += 1
        try:
            return SqliteSnapshot.begin(self._path, self._end_snapshot)
        except BaseException:
            self._end_snapshot()
            raise

    def _end_snapshot(self) -> None:
        self._database.snapshots -= 1
        # What could not leave the log meanwhile leaves it now.
        self._submit(self._database.checkpoint)

    async def _revision(self) -> int:
        # Not the database's: it may be ahead of the changes, and a watch could not start there yet.
        return self._changes.newest

    def _watch(self, prefix: bytes, after_revision: int) -> AsyncGenerator[Change, None]:
        return self._changes.watch(prefix, after_revision)

    async def _close(self) -> None:
        await self._quiet.wait()
        if self._log_timer is not None:
            self._log_timer.cancel()
        self._changes.close()
        self._reader.close()
        closed = asyncio.wrap_future(self._submit(self._database.close))
        self._thread.shutdown(wait=False)
        await asyncio.shield(closed)

    def _submit(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Have the thread do something with the database, after all that it was given before."""
        future = self._thread.submit(work, *arguments, **named)
        self._newest_work = future
        return future

    def _when_done(self, work: Future[T], finish: Callable[[Future[T]], None]) -> None:
        """Go on with what the thread has done, in the order in which it did it."""
        # Not by asyncio's own wrapping, whose future takes one more turn of the loop.
        work.add_done_callback(lambda done: self._loop.call_soon_threadsafe(finish, done))

    def _all_is_told(self) -> bool:
        """Whether nobody uses the writing connection, and all that it committed was published.

        That the thread has done its work is not enough: what it committed is published by a later step of the loop, and
        a commit that is made before that would be published before it.
        """
        idle = self._newest_work is None or self._newest_work.done()
        return idle and not self._untold and self._quiet.is_set()

    def _commit_here(self, commit: Commit) -> int:
        """Make a commit on the event loop."""
        began_s = perf_counter()
        self._pace.ran_here()
        try:
            (outcome,) = self._database.apply([commit])
        finally:
            self._pace.took(perf_counter() - began_s)
            self._look_after_log()
        if isinstance(outcome, Exception):
            try:
                raise outcome
            finally:
                del outcome  # as in _commit
        self._changes.publish(outcome.revision, outcome.changes)
        return outcome.revision

    def _start_group(self) -> None:
        size = min(len(self._waiting), limits.GROUP_COMMITS)
        group = [self._waiting.popleft() for _ in range(size)]
        work = self._submit(_timed, self._database.apply, [waiting.commit for waiting in group])
        self._when_done(work, partial(self._finish_group, group))

    def _finish_group(self, group: list[_Waiting], work: Future[tuple[list[Outcome], float]]) -> None:
        if self._newest_work is work:
            self._newest_work = None  # it would keep what it ended with until the next work
        error = work.exception()
        if error is None:
            outcomes, seconds = work.result()
            self._pace.took(seconds)
            for waiting, outcome in zip(group, outcomes, strict=True):
                self._answer(waiting.revision, outcome)
        else:
            for waiting in group:
                _fail(waiting.revision, error)
        self._look_after_log()
        if self._waiting:
            self._start_group()
        else:
            self._quiet.set()

    def _look_after_log(self) -> None:
        """After a commit: empty the log if it is long, or else a little later."""
        if self._database.log_is_long():
            self._submit(self._database.checkpoint)
        if self._log_timer is None:
            self._log_timer = self._loop.call_later(limits.STORE_LOG_SECONDS, self._empty_log)

    def _empty_log(self) -> None:
        self._log_timer = None
        self._submit(self._database.checkpoint)

    def _answer(self, revision: asyncio.Future[int], outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            _fail(revision, outcome)
            return
        # The changes first: who is answered finds the revision to be the latest.
        self._changes.publish(outcome.revision, outcome.changes)
        if not revision.done():
            revision.set_result(outcome.revision)


def _timed(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> tuple[T, float]:
    """Do something, and say how many seconds it took."""
    began_s = perf_counter()
    return work(*arguments, **named), perf_counter() - began_s


def _fail(revision: asyncio.Future[int], error: BaseException) -> None:
    if not revision.done():
        # Each caller gets an exception of his own: raising one adds to its traceback.
        revision.set_exception(type(error)(error.message) if isinstance(error, SecretdError) else error)


def _path(location: str) -> Path:
    path = unquote(location)
    if not path.startswith("/") or path == "/" or "\0" in path or "?" in location or "#" in location:
        raise ConfigError("a SQLite store is named by an absolute path: sqlite:///var/lib/secretd/store")
    return Path(path)
