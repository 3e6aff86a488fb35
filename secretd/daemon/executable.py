"""The file that a process runs: whether its path can be trusted, and what is in it.

The link below /proc leads to the very file, wherever that is; the path it shows is what the file was called where the
process lives, which may be a mount of its own making, or a file that was replaced since.  So a path is trusted only
if in our own file system that file is there, and if nobody but root could have put it there.

Source: proc_pid_exe(5).
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from secretd import limits
from secretd.errors import InvalidDocumentError
from secretd.model import Executable, check_text

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
"""With an access control list the group's bits are the most that any entry of it gives: acl(5)."""


class _Identity(NamedTuple):
    """Which file it is, and which version of it: whatever is written to it or changed of it changes ``changed_ns``."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class Running:
    """The file that a process was seen to run."""

    executable: Executable
    identity: _Identity

    def sha256(self) -> str | None:
        """Give the hash of the file, which is read once for each version of it; None if it is not trusted or too large.

        The event loop waits meanwhile: policies are asked where a request arrives.  That is bearable because it comes
        to pass only for files that a grant names, whose number and size are bounded, and no caller can bring it about
        anew: only root can change the file, and only root link to it (fs.protected_hardlinks, which systemd sets).
        """
        if not self.executable.trusted or self.identity.size > limits.EXECUTABLE_BYTES:
            return None
        try:
            return _hash(self.executable.path, self.identity)
        except OSError:
            return None


def running(process: Path) -> Running | None:
    """Look at the file that a process runs; gives None if no document can hold its path.

    Args:
        process: its directory below /proc.

    Raises:
        OSError: it has none any more, or we may not see it.
    """
    # One look at the link, and then at the file that it led to: the process may run another in the meantime.
    handle = os.open(process / "exe", os.O_PATH | os.O_CLOEXEC)
    try:
        path, identity = str(Path(f"/proc/self/fd/{handle}").readlink()), _identity(os.fstat(handle))
    finally:
        os.close(handle)
    try:
        check_text(path, "a path", limits.EXECUTABLE_PATH_BYTES)
    except InvalidDocumentError:
        return None
    return Running(Executable(path, _is_trusted(Path(path), identity)), identity)


def _is_trusted(path: Path, identity: _Identity) -> bool:
    """Whether this is the file at that path, and root alone can write it or put another there.

    What the kernel says of a file that is gone (" (deleted)" after its path) or out of reach is the path of no such
    file.
    """
    try:
        file, above = os.lstat(path), [os.lstat(directory) for directory in path.parents]
    except OSError:
        return False
    if not path.is_absolute() or not stat.S_ISREG(file.st_mode) or _identity(file) != identity:
        return False
    return _is_roots(file) and all(stat.S_ISDIR(each.st_mode) and _is_roots(each) for each in above)


def _is_roots(status: os.stat_result) -> bool:
    return status.st_uid == 0 and not status.st_mode & _WRITABLE_BY_OTHERS


def _identity(status: os.stat_result) -> _Identity:
    return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@lru_cache(maxsize=limits.EXECUTABLE_HASHES)
def _hash(path: str, identity: _Identity) -> str | None:
    """Hash a file; None if another is there meanwhile.

    Raises:
        OSError: it cannot be read; then the next who asks has it read again.
    """
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest() if _identity(os.fstat(file.fileno())) == identity else None
