"""Slot keys: the 32 bytes outside the store that lead to the root key, and where each kind of slot keeps them.

The only I/O of this room.  A file that others could have read or put there is refused, and the refusal says how to
mend it.  What is judged is what was opened, by its descriptor, so that nothing can be put in its place in between.
A refusal is written for peers and names no path; the caller has the SlotLocation, and its path for the log.

Only the file and the directory it stands in are judged, not the directories above.

Source: docs/storage-format.md, "Slot keys"; for credentials systemd.exec(5), "Credentials".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from secretd import limits
from secretd.errors import SealError
from secretd.model import SlotKind

_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class _Rule:
    noun: str
    file_name: str
    unreadable_for: int
    readable_message: str


_RULES: Final = {
    SlotKind.LOCAL_FILE: _Rule(
        "the root key file",
        "root.key",
        stat.S_IRGRP | stat.S_IROTH,
        "can be read by group or others; make its mode 0600, and do not replace it: nothing else opens the store",
    ),
    # For a service with User= systemd grants the read by an access control list, whose mask shows as the group's bits.
    SlotKind.CREDENTIAL: _Rule(
        "the root key credential", "secretd.root-key", stat.S_IROTH, "can be read by others; load it by systemd"
    ),
}

_FAILURES: Final = {
    errno.ENOENT: "is missing; put it back from your copy",
    errno.ENOTDIR: "is missing; put it back from your copy",
    errno.ELOOP: "is a symbolic link; put the file itself there",
    errno.ENXIO: "is not a regular file",
    errno.EACCES: "may not be read by the daemon; give it to the daemon's user",
}


def noun_of(kind: SlotKind) -> str:
    """Say what a message calls the key of such a slot."""
    return _RULES[kind].noun


@dataclass(frozen=True, slots=True)
class SlotLocation:
    """Where the key of a slot is.

    Attributes:
        kind: the kind of slot.
        directory: the configuration directory, or the one systemd names in $CREDENTIALS_DIRECTORY.
    """

    kind: SlotKind
    directory: Path

    @property
    def path(self) -> Path:
        """The file; for the log and the command line, not for peers."""
        return self.directory / _RULES[self.kind].file_name


def read_slot_key(location: SlotLocation, uid: int) -> bytes:
    """Read a slot's key, 32 bytes.

    Args:
        location: the kind of slot, and its directory.
        uid: whom the daemon runs as; what belongs to neither it nor root is refused.

    Raises:
        SealError: the key is missing or not as it must be; says how to mend it, without its path.
    """
    rule = _RULES[location.kind]
    with _opened_directory(location, uid) as directory:
        # O_NONBLOCK: a FIFO put there must not hold the daemon up before it is judged.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with _opened(rule, Path(location.path.name), flags, directory) as file:
            _judge_file(os.fstat(file), uid, rule)
            key = _read(file, rule)
    if len(key) != limits.ROOT_KEY_BYTES:
        raise _refused(rule.noun, f"does not have exactly {limits.ROOT_KEY_BYTES} bytes; restore it from its copy")
    return key


def is_missing(location: SlotLocation) -> bool:
    """Say whether nothing at all stands where the slot's key belongs; if this can't be told, something does."""
    try:
        location.path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def judge_directory(location: SlotLocation, uid: int) -> None:
    """Refuse a directory that a slot's key may not stand in; for whoever is about to make one there.

    Raises:
        SealError: the directory is missing, another user's, or others can write it.
    """
    with _opened_directory(location, uid):
        pass


@contextmanager
def _opened_directory(location: SlotLocation, uid: int) -> Iterator[int]:
    rule = _RULES[location.kind]
    with _opened(rule, location.directory, os.O_DIRECTORY | os.O_PATH) as directory:
        _judge(os.fstat(directory), uid, f"the directory of {rule.noun}")
        yield directory


@contextmanager
def _opened(rule: _Rule, path: Path, flags: int, directory: int | None = None) -> Iterator[int]:
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise _failed(rule, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(file: int, rule: _Rule) -> bytes:
    try:
        return os.read(file, limits.ROOT_KEY_BYTES + 1)
    except OSError as error:
        raise _failed(rule, error) from None


def _judge(status: os.stat_result, uid: int, noun: str) -> None:
    if status.st_uid not in (0, uid):
        raise _refused(noun, "belongs to another user; give it to the daemon's user or root")
    if status.st_mode & _WRITABLE:
        raise _refused(noun, "can be written by group or others; take that right away")


def _judge_file(status: os.stat_result, uid: int, rule: _Rule) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refused(rule.noun, "is not a regular file")
    _judge(status, uid, rule.noun)
    if status.st_mode & rule.unreadable_for:
        raise _refused(rule.noun, rule.readable_message)


def _failed(rule: _Rule, error: OSError) -> SealError:
    # Never the error's own text: it holds the path.
    number = error.errno or 0
    unforeseen = f"cannot be read ({errno.errorcode.get(number, 'unknown error')})"
    return _refused(rule.noun, _FAILURES.get(number, unforeseen))


def _refused(noun: str, why: str) -> SealError:
    return SealError(f"{noun} {why}")
