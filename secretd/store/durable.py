"""Small files, and directories, that survive a power cut: written whole or not at all, mode 0600.

A crash between any two steps leaves the old file or the new one under the name, never a mixture, and perhaps a
temporary file beside it, which the next write to that name removes.  One writer at a time: of two that write the
same name at once one may fail with FileNotFoundError, but what stands there is always one's whole data.

OSError is passed on: who calls knows what the file is, and how to say so without its path.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from secretd.errors import StoreCorruptError

_SUFFIX = ".new"


def write_durably(path: Path, data: bytes) -> None:
    """Put ``data`` in the file, in place of what was there; on return it is on disk."""
    with _temporary(path, data) as temporary:
        temporary.replace(path)
    sync_directory(path.parent)


def create_durably(path: Path, data: bytes) -> None:
    """Make the file with ``data`` in it; on return it is on disk.

    Raises:
        FileExistsError: the name is taken; it was left as it was.
    """
    with _temporary(path, data) as temporary:
        # A rename would replace what another process has put there in the meantime; a link does not.
        path.hardlink_to(temporary)
    sync_directory(path.parent)


def remove_durably(path: Path) -> None:
    """Remove the file, if it is there; on return it is gone from the disk."""
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def read_bounded(path: Path, most_bytes: int) -> bytes | None:
    """Read the file whole; None if there is none.

    Raises:
        StoreCorruptError: it has more than ``most_bytes`` bytes, or is not a regular file.
    """
    try:
        with open_regular(path) as file:
            data = file.read(most_bytes + 1)
    except FileNotFoundError:
        return None
    if len(data) > most_bytes:
        raise StoreCorruptError(f"a file has more than the {most_bytes} bytes that it may have")
    return data


def open_regular(path: Path) -> BufferedReader:
    """Open a file to be read; what is no regular file can hold nobody up.

    Raises:
        StoreCorruptError: it is not a regular file.
    """
    # O_NONBLOCK: the open of a FIFO would wait for its writer, for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreCorruptError("what should be a file is not a regular file")
    return os.fdopen(descriptor, "rb")


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make the directory, whatever the umask, if it is missing; its missing parents get mode 0700.

    On return what was made is on disk, also as a name in the directory above.
    """
    missing = [folder for folder in (path, *path.parents) if not os.path.lexists(folder)]
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            # Made by another process since: then its mode is that one's affair.
            continue
        if folder == path:
            folder.chmod(mode)
        sync_directory(folder.parent)


def sync_directory(directory: Path) -> None:
    """Bring the directory's names to disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """Write ``data`` to a new file beside ``path``, on disk, which is gone from its name afterwards."""
    remove_left_overs(path)
    # The name is random so that a second writer never writes into the file that the first is about to rename.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(path: Path) -> None:
    """Remove what writes to this name left beside it when they were cut short."""
    left_over = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{16}" + re.escape(_SUFFIX))
    for entry in list(path.parent.iterdir()):
        if left_over.fullmatch(entry.name):
            entry.unlink(missing_ok=True)
