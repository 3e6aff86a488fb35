"""The store in a directory of this host: SQLite, the default.

Point reads are answered on the event loop, where they take microseconds.  Commits and scans go to one worker
thread.  Commits that wait while it works are taken together, up to limits.GROUP_COMMITS, into one transaction,
so that they share its fsync; each is still judged and answered by itself.  A commit is answered once it is on disk.

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
from typing import Self
from urllib.parse import unquote

from secretd import limits
from secretd.errors import ConfigError, SecretdError
from secretd.store.base import Change, Operation, RevisionIs, Store
from secretd.store.changes import ChangeLog
from secretd.store.reading import Page, Record, Snapshot
from secretd.store.sqlite_database import Database, Reader
from secretd.store.sqlite_errors import Translating
from secretd.store.sqlite_snapshot import SqliteSnapshot
from secretd.store.sqlite_transaction import Applied, Commit, Outcome
from secretd.store.summary import Summary


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
            # SQLite wants a connection used by the thread that made it. The loop stands still meanwhile: an open
            # that could be cancelled half-way would leave a lock that nobody lets go of.
            database = thread.submit(Database.open, path).result()
            undo.callback(lambda: thread.submit(database.close).result())
            with Translating():
                reader = Reader(path)
                undo.callback(reader.close)
                store = cls(path, database, reader, thread)
            undo.pop_all()
            return store

    def _translating(self) -> Translating:
        return Translating()

    async def _get(self, key: bytes) -> Record | None:
        return self._reader.get(key)

    async def _count(self, kind: bytes) -> int:
        return self._reader.count(kind)

    async def _scan(self, prefix: bytes, start: bytes, limit: int) -> Page:
        return await self._loop.run_in_executor(self._thread, self._database.scan, prefix, start, limit)

    async def _commit(self, operations: tuple[Operation, ...], preconditions: tuple[RevisionIs, ...]) -> int:
        waiting = _Waiting(Commit(operations, preconditions), self._loop.create_future())
        self._waiting.append(waiting)
        if self._quiet.is_set():
            self._quiet.clear()
            self._start_group()
        # If the caller is cancelled here, the future is, and the group goes on without anybody to answer.
        return await waiting.revision

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

        def done(applying: asyncio.Future[Applied]) -> None:
            if applying.exception() is None:
                tell(applying.result())

        applying = self._loop.run_in_executor(self._thread, work)
        applying.add_done_callback(done)
        return (await asyncio.shield(applying)).revision

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
        self._thread.submit(self._database.checkpoint)

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
        closed = self._loop.run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)
        await asyncio.shield(closed)

    def _start_group(self) -> None:
        size = min(len(self._waiting), limits.GROUP_COMMITS)
        group = [self._waiting.popleft() for _ in range(size)]
        work = self._thread.submit(self._database.apply, [waiting.commit for waiting in group])
        # Not by run_in_executor, whose future takes one more turn of the loop.
        finish = partial(self._finish_group, group)
        work.add_done_callback(partial(self._loop.call_soon_threadsafe, finish))

    def _finish_group(self, group: list[_Waiting], work: Future[list[Outcome]]) -> None:
        error = work.exception()
        if error is None:
            for waiting, outcome in zip(group, work.result(), strict=True):
                self._answer(waiting.revision, outcome)
        else:
            for waiting in group:
                _fail(waiting.revision, error)
        if self._database.log_is_long():
            self._thread.submit(self._database.checkpoint)
        if self._log_timer is None:
            self._log_timer = self._loop.call_later(limits.STORE_LOG_SECONDS, self._empty_log)
        if self._waiting:
            self._start_group()
        else:
            self._quiet.set()

    def _empty_log(self) -> None:
        self._log_timer = None
        self._thread.submit(self._database.checkpoint)

    def _answer(self, revision: asyncio.Future[int], outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            _fail(revision, outcome)
            return
        # The changes first: who is answered finds the revision to be the latest.
        self._changes.publish(outcome.revision, outcome.changes)
        if not revision.done():
            revision.set_result(outcome.revision)


def _fail(revision: asyncio.Future[int], error: BaseException) -> None:
    if not revision.done():
        # Each caller gets an exception of his own: raising one adds to its traceback.
        revision.set_exception(type(error)(error.message) if isinstance(error, SecretdError) else error)


def _path(location: str) -> Path:
    path = unquote(location)
    if not path.startswith("/") or path == "/" or "\0" in path or "?" in location or "#" in location:
        raise ConfigError("a SQLite store is named by an absolute path: sqlite:///var/lib/secretd/store")
    return Path(path)
