"""The high-water mark: the newest revision that was answered, kept outside the store.

Nothing in a store tells that its newest commits are missing: a lost tail of SQLite's log looks like a store that
never had it, and so does an old copy that was put back.  So the revision is written beside the keyring before
an answer leaves, authenticated, and compared at the next start.  It is not synced: after a power cut the mark may
be older than the store, never newer than what was answered.

Two places take turns, so that a write that is cut short leaves the mark before it.

Source: docs/storage-format.md, "The high-water mark".
"""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

from secretd.core.sealing import Seal
from secretd.crypto.envelope import Domain
from secretd.errors import StoreCorruptError
from secretd.store.durable import read_bounded, write_durably

_log = logging.getLogger(__name__)

_LABEL = b"secretd high water"
_REVISION = struct.Struct(">Q")
_MAC_BYTES = 32
_MARK_BYTES = _REVISION.size + _MAC_BYTES
_PLACES = 2


class HighWater:
    """The mark of one store."""

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._seal = seal
        self._file: int | None = None
        self._mark = 0

    def read(self) -> int | None:
        """Give the highest mark that is authentic; 0 if there never was one, None if there is none any more."""
        try:
            data = read_bounded(self._path, _MARK_BYTES * _PLACES)
        except (OSError, StoreCorruptError):
            return None
        if data is None:
            return 0
        marks = [data[start : start + _MARK_BYTES] for start in range(0, len(data), _MARK_BYTES)]
        return max((_REVISION.unpack_from(mark)[0] for mark in marks if self._is_authentic(mark)), default=None)

    def begin(self, revision: int) -> None:
        """Begin to keep the mark, from this revision on."""
        self.close()
        try:
            write_durably(self._path, self._written(revision) * _PLACES)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            _log.warning("the high-water mark could not be written", extra={"reason": error.strerror})
        self._mark = revision

    def note(self, revision: int) -> None:
        """Write down a revision before it is answered. A failure is logged: the change itself is safe in the store."""
        if self._file is None or revision <= self._mark:
            return
        self._mark = revision
        try:
            os.pwrite(self._file, self._written(revision), revision % _PLACES * _MARK_BYTES)
        except OSError as error:
            _log.warning("the high-water mark could not be written", extra={"reason": error.strerror})

    def close(self) -> None:
        """Stop keeping the mark."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _is_authentic(self, mark: bytes) -> bool:
        return len(mark) == _MARK_BYTES and mark == self._written(*_REVISION.unpack_from(mark))

    def _written(self, revision: int) -> bytes:
        packed = _REVISION.pack(revision)
        return packed + self._seal.keyrings[Domain.SHARED].mac(_LABEL, packed)
