"""Canaries: values that are nowhere by chance, and the search for what is left of them in memory and in files.

A canary repeats itself after a few bytes, and so does its base64.  So a handful of short windows stands for every
piece of it, at any offset and however long the value that is made of it.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

_PERIOD_BYTES = 24  # a multiple of three, so that base64 falls in with it
_WINDOW_BYTES = 16
_ANCHOR_BYTES = 8
_CHUNK_BYTES = 1 << 22

_READABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \S+ *(.*)$", re.MULTILINE)
_NOT_MEMORY = frozenset({"[vvar]", "[vvar_vclock]", "[vsyscall]"})
"""What the kernel lends every process: no memory of its own, and not to be read from outside."""


class Canary:
    """A random value of any length, and how to find 16 bytes of it in a row, raw or as base64."""

    def __init__(self) -> None:
        self._period = os.urandom(_PERIOD_BYTES)
        periods = self._period, b64encode(self._period)
        self._windows = frozenset(window for period in periods for window in _windows(period))
        # One of these is whole in every window, so that a few of them have to be searched for.
        self._anchors = [p[at : at + _ANCHOR_BYTES] for p in periods for at in range(0, len(p), _ANCHOR_BYTES)]

    def value(self, length: int) -> bytes:
        """Give a value of so many bytes."""
        return (self._period * (length // _PERIOD_BYTES + 1))[:length]

    def is_in(self, data: bytes) -> bool:
        """Say whether a piece of it is in some bytes."""
        return any(self._is_around(data, at) for anchor in self._anchors for at in _places(anchor, data))

    def _is_around(self, data: bytes, at: int) -> bool:
        around = data[max(0, at - _ANCHOR_BYTES) : at + _WINDOW_BYTES]
        return any(window in around for window in self._windows)


def _places(anchor: bytes, data: bytes) -> Iterator[int]:
    at = data.find(anchor)
    while at >= 0:
        yield at
        at = data.find(anchor, at + 1)


def _windows(period: bytes) -> Iterator[bytes]:
    repeated = period + period
    return (repeated[start : start + _WINDOW_BYTES] for start in range(len(period)))


def find_in_process(pid: int, canary: Canary) -> list[str]:
    """Search all memory of a process that root can read; names the maps that hold a piece of the canary."""
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end, name in _readable_maps(pid):
            for at in range(start, end, _CHUNK_BYTES - _WINDOW_BYTES):
                if canary.is_in(os.pread(memory.fileno(), min(_CHUNK_BYTES, end - at), at)):
                    found.add(f"{start:x}-{end:x} {name}")
    return sorted(found)


def _readable_maps(pid: int) -> Iterator[tuple[int, int, str]]:
    for start, end, name in _READABLE.findall(Path(f"/proc/{pid}/maps").read_text()):
        if name not in _NOT_MEMORY:
            yield int(start, 16), int(end, 16), name


def find_in_files(directory: Path, canary: Canary) -> list[Path]:
    """Search all files below a directory."""
    return [path for path in directory.rglob("*") if path.is_file() and canary.is_in(path.read_bytes())]
