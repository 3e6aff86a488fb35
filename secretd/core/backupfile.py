"""The form of a backup: everything a store has, sealed as it was, in one file.

Nothing here opens a record.  That a file is whole and genuine is proved by its end, with the keyring in its header:
who reads one proves that before he believes any of it.

Source: docs/backup.md, "The file".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from secretd import limits
from secretd.crypto.keyring import Keyring
from secretd.errors import InvalidRequestError

_MAGIC: Final = b"secretd backup\x00"
_LABEL: Final = b"secretd backup"
_FORMAT: Final = 1
_HEADER: Final = struct.Struct(">IQ")
_KEY_LENGTH: Final = struct.Struct(">H")
_LENGTH: Final = struct.Struct(">I")
_COUNT: Final = struct.Struct(">Q")
_MAC_BYTES: Final = 32
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup begins with.

    Attributes:
        revision: the store's.
        shared, node: the seal file of each sealing domain, as bytes.
    """

    revision: int
    shared: bytes = field(repr=False)
    node: bytes = field(repr=False)


class Writer:
    """Writes a backup, piece by piece, in this order: the header, records, the end."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._count = 0

    def header(self, header: Header) -> bytes:
        """Write the beginning."""
        fixed = _MAGIC + _HEADER.pack(_FORMAT, header.revision)
        files = (_LENGTH.pack(len(file)) + file for file in (header.shared, header.node))
        return self._took(fixed + b"".join(files))

    def record(self, key: bytes, value: bytes) -> bytes:
        """Write a record."""
        self._count += 1
        return self._took(_KEY_LENGTH.pack(len(key)) + key + _LENGTH.pack(len(value)) + value)

    def end(self, keyring: Keyring) -> bytes:
        """Write the end, by the shared keyring."""
        return self._took(_KEY_LENGTH.pack(0) + _COUNT.pack(self._count)) + keyring.mac(_LABEL, self._sha256.digest())

    def _took(self, piece: bytes) -> bytes:
        self._sha256.update(piece)
        return piece


def check_magic(beginning: bytes) -> None:
    """Refuse what does not begin as a backup does; ``beginning`` is at least one byte of it.

    Raises:
        InvalidRequestError: it is none.
    """
    length = min(len(beginning), len(_MAGIC))
    if beginning[:length] != _MAGIC[:length]:
        raise InvalidRequestError("this is no backup of secretd's")


def read_header(file: BinaryIO) -> Header:
    """Read the beginning of a backup, which nothing is proved of yet.

    Raises:
        InvalidRequestError: the file is no backup, or of a newer format.
    """
    file.seek(0)
    check_magic(_exactly(file, len(_MAGIC)))
    version, revision = _HEADER.unpack(_exactly(file, _HEADER.size))
    if version != _FORMAT:
        raise InvalidRequestError("this backup has a newer format than this daemon knows")
    return Header(revision, _sized(file, limits.KEYRING_BYTES), _sized(file, limits.KEYRING_BYTES))


def prove(file: BinaryIO, keyring: Keyring) -> None:
    """Insist that a backup is whole and genuine.

    Args:
        file: the backup.
        keyring: the shared one of its header, opened.

    Raises:
        InvalidRequestError: it is not.
    """
    left = file.seek(0, 2) - _MAC_BYTES
    file.seek(0)
    sha256 = hashlib.sha256()
    while left > 0:
        piece = _exactly(file, min(left, _READ_BYTES))
        sha256.update(piece)
        left -= len(piece)
    if file.read() != keyring.mac(_LABEL, sha256.digest()):
        raise _damaged()


def read_records(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Give key and value of each record of a backup that was proved.

    Raises:
        InvalidRequestError: it is not in the form it should have.
    """
    read_header(file)
    count, last = 0, b""
    while key := _exactly(file, *_KEY_LENGTH.unpack(_exactly(file, _KEY_LENGTH.size))):
        if not last < key or len(key) > limits.STORE_KEY_BYTES:
            raise _damaged()
        yield key, _sized(file, limits.STORE_VALUE_BYTES)
        count, last = count + 1, key
    if _COUNT.unpack(_exactly(file, _COUNT.size)) != (count,) or len(file.read()) != _MAC_BYTES:
        raise _damaged()


def _sized(file: BinaryIO, most: int) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
    if length > most:
        raise _damaged()
    return _exactly(file, length)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise _damaged()
    return data


def _damaged() -> InvalidRequestError:
    return InvalidRequestError("the backup is damaged or not whole")
