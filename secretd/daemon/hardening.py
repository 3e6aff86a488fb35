"""The process closes itself off: nobody may look into it, it dumps no core, and what it frees is gone.

Done before anything secret is there.  None of it is a reason not to start, but for what the kernel never refuses:
what could not be had is told in the log and in the status.

- What is freed is overwritten, if the settings of reexec.py are in force and do what they promise.  That is looked
  at, not assumed: canaries go the way of a value, are freed, and are then searched for in all of the process's own
  memory.
- No core is dumped, and no process of the same user may trace this one or read its memory.
- Its memory is locked out of swap where no limit can make a later allocation fail.

Source: DESIGN, "In memory"; prctl(2) PR_SET_DUMPABLE; core(5); mlockall(2); capabilities(7); proc(5).
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import re
import resource
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from secretd import limits
from secretd.crypto import envelope, padding
from secretd.crypto.keyring import Domain, Keyring
from secretd.doors.rehearsal import rehearse
from secretd.model import MemoryLock, MemoryStatus, SecretValue

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # asm-generic/mman.h
_CAP_IPC_LOCK = 14  # linux/capability.h

_EFFECTIVE = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)
_PRIVATE_MAP = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw.p ", re.MULTILINE)

_PERIOD_BYTES = 24  # a multiple of three, so that the base64 of a canary repeats itself too
_KEY_BYTES = 16  # of a period, whole pieces of which survive the few words that an allocator writes into what is free
_SIZES = (_PERIOD_BYTES, 1_024, int(limits.VALUE_BYTES))
_CHUNK_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def harden() -> MemoryStatus:
    """Close the process off, and say what of it could be had.

    Raises:
        OSError: the kernel does not take from us what it takes from everybody.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Looked at before the process is closed off: then its own memory is root's to open, and no longer its user's.
    wiping = freed_memory_is_wiped()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    return MemoryStatus(wiping, _lock(libc))


def report(status: MemoryStatus) -> None:
    """Say in the log what could be had."""
    _log.info("memory", extra={"wiping": status.wiping, "locked": status.locked.value})
    if not status.wiping:
        _log.warning("freed memory is not overwritten")


def freed_memory_is_wiped() -> bool:
    """Let canaries go the way of a value, and then look for them in all of this process's own memory.

    No is also the answer where that cannot be read.
    """
    with _Canary() as canary:
        for size in _SIZES:
            _use(canary.value(size))
        try:
            return not canary.is_in_memory()
        except OSError:
            return False


def _use(value: SecretValue) -> None:
    keyrings = {Domain.NODE: Keyring.generate(Domain.NODE)}
    sealed = envelope.seal(keyrings[Domain.NODE], b"canary", 1, padding.pad(rehearse(value)))
    padding.unpad(envelope.open_record(keyrings, b"canary", sealed).plaintext)


class _Canary:
    """Random bytes, in as many repetitions as are asked for, and the search for what is left of them.

    What is searched for must not be found in the search itself, so the keys stand in a shared map of their own: the
    search looks through private ones only, as all that Python or a library allocates is private.
    """

    def __init__(self) -> None:
        self._keys = mmap.mmap(-1, mmap.PAGESIZE)
        period = os.urandom(_PERIOD_BYTES)
        self._keys.write(period)
        self._keys.write(b64encode(period))

    def value(self, size: int) -> SecretValue:
        """Give a value of this many bytes."""
        repeated = self._keys[:_PERIOD_BYTES] * (size // _PERIOD_BYTES + 1)
        return SecretValue(memoryview(repeated)[:size])

    def is_in_memory(self) -> bool:
        """Search for pieces of values, raw and as base64.

        Raises:
            OSError: the process's memory cannot be read.
        """
        with memoryview(self._keys) as keys:
            raw, text = keys[:_KEY_BYTES], keys[_PERIOD_BYTES : _PERIOD_BYTES + _KEY_BYTES]
            with raw, text:
                return any(
                    chunk.find(key, 0, length) >= 0 for chunk, length in _private_memory() for key in (raw, text)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keys.close()


def _private_memory() -> Iterator[tuple[bytearray, int]]:
    """Read all private memory of this process, in pieces that overlap by a key; gives each with its length.

    They are the same buffer, filled anew: it is read in its turn, and holds what was looked through before.
    """
    buffer = bytearray(_CHUNK_BYTES)
    with memoryview(buffer) as window, Path("/proc/self/mem").open("rb", buffering=0) as memory:
        for start, end in _private_maps():
            for at in range(start, end, _CHUNK_BYTES - _KEY_BYTES):
                yield buffer, os.preadv(memory.fileno(), [window[: end - at]], at)


def _private_maps() -> list[tuple[int, int]]:
    maps = Path("/proc/self/maps").read_text()
    return [(int(start, 16), int(end, 16)) for start, end in _PRIVATE_MAP.findall(maps)]


def _lock(libc: ctypes.CDLL) -> MemoryLock:
    """Lock all memory, as it comes into use; never under a finite limit, at which a later allocation would fail."""
    if not _may_lock_all() or libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT):
        return MemoryLock.NO
    return MemoryLock.ALL


def _may_lock_all() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    return bool(effective_capabilities() >> _CAP_IPC_LOCK & 1)


def effective_capabilities() -> int:
    """Give the capabilities that this process has, a bit each. Source: linux/capability.h."""
    found = _EFFECTIVE.search(Path("/proc/self/status").read_text())
    return int(found[1], 16) if found else 0
