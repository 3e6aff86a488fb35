"""What the daemon's figures are held against: the same disk, the same SQLite and the same kind of socket, bare.

append          appends the bytes of one record to a file, and fdatasync
sqlite-commit   puts one record into a database with the store's own schema and settings, one commit each
echo            sends as many bytes as a get-value request has, and gets as many as its reply has
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Self
from uuid import UUID

from helpers.bench_figures import Figures, timed
from secretd import limits
from secretd.crypto import envelope, padding
from secretd.crypto.box import OVERHEAD_BYTES
from secretd.documents.messages import write_reply, write_request
from secretd.model import SecretValue
from secretd.operations import BY_REQUEST, GetValue, GotValue
from secretd.store.sqlite_files import log_of, open_writer

VALUE_SIZES = (64, 65_536)
"""The values that are set and read, in bytes: a passphrase or a key, and the longest there may be."""

_PUT = "INSERT INTO kv VALUES (?, ?, 1) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_ROWS = 1_000


class Yardsticks:
    """The yardsticks of one run; their files are in a directory of their own, on the store's disk."""

    def __init__(self, directory: Path) -> None:
        self._undo = ExitStack()
        directory.mkdir()
        self._file = os.open(directory / "appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._undo.callback(os.close, self._file)
        self._log = log_of(directory)
        self._database = self._undo.enter_context(closing(open_writer(directory)))
        self._peers = {size: self._undo.enter_context(echo(*_messages(size))) for size in VALUE_SIZES}

    def measure(self, seconds: float) -> dict[str, Figures]:
        """Measure each for so long."""
        figures = {"append": timed(self._append, seconds)}
        for size in VALUE_SIZES:
            record = os.urandom(_sealed_bytes(size))
            figures[f"sqlite-commit {size}"] = timed(partial(self._commit, record), seconds)
            figures[f"echo {size}"] = timed(self._peers[size], seconds)
        return figures

    def _append(self, _: int) -> None:
        os.write(self._file, bytes(_sealed_bytes(VALUE_SIZES[0])))
        os.fdatasync(self._file)

    def _commit(self, record: bytes, number: int) -> None:
        # SQLite writes nothing where the same bytes stand already, and then a commit is none.
        unlike = number.to_bytes(8) + record[8:]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute(_PUT, ((number % _ROWS).to_bytes(17), unlike))
        self._database.execute("COMMIT")
        # As the store does, which empties the log once it is long.
        if self._log.stat().st_size > limits.STORE_LOG_BYTES:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()


class _Peer:
    """The asking end of an echo."""

    def __init__(self, connection: socket.socket, request: bytes, reply_bytes: int) -> None:
        self._connection = connection
        self._request = request
        self._reply_bytes = reply_bytes

    def __call__(self, _: int) -> None:
        self._connection.sendall(self._request)
        _receive(self._connection, self._reply_bytes)


@contextmanager
def echo(request: bytes, reply: bytes) -> Iterator[Callable[[int], None]]:
    """Start a process that answers each request with the reply, and end it; gives what asks once and waits."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(its, ours, len(request), reply))
    process.start()
    its.close()
    with ours:
        yield _Peer(ours, request, len(reply))
        ours.shutdown(socket.SHUT_RDWR)
    process.join()


def _answer(connection: socket.socket, other_end: socket.socket, request_bytes: int, reply: bytes) -> None:
    other_end.close()
    while _receive(connection, request_bytes):
        connection.sendall(reply)


def _receive(connection: socket.socket, wanted: int) -> bool:
    while wanted > 0:
        data = connection.recv(65_536)
        if not data:
            return False
        wanted -= len(data)
    return True


def _messages(value_bytes: int) -> tuple[bytes, bytes]:
    operation = BY_REQUEST[GetValue]
    reply = write_reply(1, operation, GotValue(SecretValue(bytes(value_bytes))))
    return write_request(1, GetValue(UUID(int=0))) + b"\0", reply + b"\0"


def _sealed_bytes(value_bytes: int) -> int:
    return envelope.HEADER_BYTES + OVERHEAD_BYTES + len(padding.pad(SecretValue(bytes(value_bytes))))
