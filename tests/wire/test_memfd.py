"""Values in sealed memory: what is made, and what is refused."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.errors import InvalidValueError
from secretd.model import SecretValue
from secretd.wire import memfd

MOST = int(limits.VALUE_BYTES)
MFD_NOEXEC_SEAL = 0x8

Maker = Callable[[Path], int]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes at the end what a test opened."""
    with ExitStack() as opened:
        yield opened


def descriptors_in_use() -> set[str]:
    """Name the descriptors of this process."""
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - Path.iterdir would hold one more open


def memory(content: bytes = b"open sesame", seals: int = memfd.SEALS, flags: int = 0) -> Maker:
    """Make a memfd with this content and these seals."""

    def make(_: Path) -> int:
        descriptor = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
        os.write(descriptor, content)
        if seals:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        return descriptor

    return make


def unsealable(_: Path) -> int:
    """Make a memfd that was never allowed seals."""
    descriptor = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(descriptor, b"open sesame")
    return descriptor


def regular_file(directory: Path) -> int:
    """Open a file on whatever the temporary directory is on."""
    path = directory / "value"
    path.write_bytes(b"open sesame")
    return os.open(path, os.O_RDWR)


def file_in_memory(_: Path) -> int:
    """Open a file of a tmpfs, which knows seals, but is no memfd."""
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.write(b"open sesame")
        file.flush()
        return os.dup(file.fileno())


def pipe(_: Path) -> int:
    """Make a pipe, and keep the end to read from."""
    reading, writing = os.pipe()
    os.write(writing, b"open sesame")
    os.close(writing)
    return reading


def null_device(_: Path) -> int:
    """Open /dev/null."""
    return os.open(os.devnull, os.O_RDWR)


def directory_itself(directory: Path) -> int:
    """Open a directory."""
    return os.open(directory, os.O_RDONLY)


def reopened(flags: int) -> Maker:
    """Open a sealed memfd a second time, in another way."""

    def make(directory: Path) -> int:
        writable = memory(seals=0)(directory)
        descriptor = os.open(f"/proc/self/fd/{writable}", flags)
        fcntl.fcntl(writable, fcntl.F_ADD_SEALS, memfd.SEALS)
        os.close(writable)
        return descriptor

    return make


SEALS = "all four seals"
NO_MEMFD = "not a memfd"

REFUSED = [
    pytest.param(memory(seals=0), SEALS, id="no-seal"),
    pytest.param(memory(seals=memfd.SEALS & ~fcntl.F_SEAL_SEAL), SEALS, id="seal-missing"),
    pytest.param(memory(seals=memfd.SEALS & ~fcntl.F_SEAL_SHRINK), SEALS, id="shrink-missing"),
    pytest.param(memory(seals=memfd.SEALS & ~fcntl.F_SEAL_GROW), SEALS, id="grow-missing"),
    pytest.param(memory(seals=memfd.SEALS & ~fcntl.F_SEAL_WRITE), SEALS, id="write-missing"),
    pytest.param(unsealable, SEALS, id="sealing-not-allowed"),
    pytest.param(memory(b""), "is empty", id="empty"),
    pytest.param(memory(b"x" * (MOST + 1)), "more than 65536 bytes", id="one-byte-too-long"),
    pytest.param(memory(b"x" * (1 << 24)), "more than 65536 bytes", id="far-too-long"),
    pytest.param(reopened(os.O_WRONLY), "not open for reading", id="write-only"),
    pytest.param(reopened(os.O_PATH), NO_MEMFD, id="path-only"),
    pytest.param(regular_file, f"{NO_MEMFD}|{SEALS}", id="regular-file"),
    pytest.param(file_in_memory, SEALS, id="file-in-memory"),
    pytest.param(pipe, NO_MEMFD, id="pipe"),
    pytest.param(null_device, NO_MEMFD, id="dev-null"),
    pytest.param(directory_itself, f"{NO_MEMFD}|{SEALS}", id="directory"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_read_refuses_and_leaves_open(make: Maker, message: str, tmp_path: Path, stack: ExitStack) -> None:
    descriptor = make(tmp_path)
    stack.callback(os.close, descriptor)
    with pytest.raises(InvalidValueError, match=message) as caught:
        memfd.read_value(descriptor)
    assert "sesame" not in str(caught.value)
    fcntl.fcntl(descriptor, fcntl.F_GETFD)


def test_read_refuses_a_number_that_is_not_open() -> None:
    descriptor = os.memfd_create("test")
    os.close(descriptor)
    with pytest.raises(InvalidValueError, match=NO_MEMFD):
        memfd.read_value(descriptor)


def test_read_refuses_what_it_could_not_read_whole(monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    descriptor = memfd.seal_value(SecretValue(b"open sesame"))
    stack.callback(os.close, descriptor)
    monkeypatch.setattr(os, "pread", lambda _descriptor, size, _offset: b"x" * (size - 1))
    with pytest.raises(InvalidValueError, match="read whole"):
        memfd.read_value(descriptor)


ACCEPTED = [
    pytest.param(memory(b"x"), b"x", id="one-byte"),
    pytest.param(memory(b"\0" * 3), b"\0" * 3, id="zeros"),
    pytest.param(memory(b"x" * MOST), b"x" * MOST, id="the-longest"),
    pytest.param(reopened(os.O_RDONLY), b"open sesame", id="read-only"),
]


@pytest.mark.parametrize(("make", "value"), ACCEPTED)
def test_read_accepts(make: Maker, value: bytes, tmp_path: Path, stack: ExitStack) -> None:
    descriptor = make(tmp_path)
    stack.callback(os.close, descriptor)
    assert memfd.read_value(descriptor).reveal() == value


def test_read_accepts_a_seal_more(tmp_path: Path, stack: ExitStack) -> None:
    """MFD_NOEXEC_SEAL (Linux 6.3) brings F_SEAL_EXEC along; else F_SEAL_FUTURE_WRITE (5.1) stands in."""
    try:
        descriptor = memory(flags=MFD_NOEXEC_SEAL)(tmp_path)
    except OSError:
        descriptor = memory(seals=memfd.SEALS | 0x10)(tmp_path)
    stack.callback(os.close, descriptor)
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) != memfd.SEALS
    assert memfd.read_value(descriptor).reveal() == b"open sesame"


@given(st.binary(min_size=1, max_size=300))
def test_a_sealed_value_is_read_back(value: bytes) -> None:
    descriptor = memfd.seal_value(SecretValue(value))
    try:
        assert memfd.read_value(descriptor).reveal() == value
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("length", [1, MOST], ids=["shortest", "longest"])
def test_a_sealed_value_can_be_changed_by_nobody(length: int, stack: ExitStack) -> None:
    descriptor = memfd.seal_value(SecretValue(b"x" * length))
    stack.callback(os.close, descriptor)
    assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & memfd.SEALS == memfd.SEALS
    assert not os.get_inheritable(descriptor)
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0
    for change in (
        lambda: os.pwrite(descriptor, b"y", 0),
        lambda: os.ftruncate(descriptor, 0),
        lambda: os.ftruncate(descriptor, length + 1),
        lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0x10),
    ):
        with pytest.raises(PermissionError):
            change()


def test_a_write_that_comes_short_is_continued(monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:4], offset))
    descriptor = memfd.seal_value(SecretValue(b"open sesame"))
    stack.callback(os.close, descriptor)
    assert memfd.read_value(descriptor).reveal() == b"open sesame"


def test_a_failure_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors_in_use()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="full"):
        memfd.seal_value(SecretValue(b"open sesame"))
    assert descriptors_in_use() == before


def test_an_older_kernel_gets_the_flags_it_knows(monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    memfd_create = os.memfd_create

    def without_noexec(name: str, flags: int) -> int:
        if flags & MFD_NOEXEC_SEAL:
            raise OSError(errno.EINVAL, "no such flag")
        return memfd_create(name, flags)

    monkeypatch.setattr(os, "memfd_create", without_noexec)
    descriptor = memfd.seal_value(SecretValue(b"open sesame"))
    stack.callback(os.close, descriptor)
    assert memfd.read_value(descriptor).reveal() == b"open sesame"


def test_other_failures_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def none_left(_name: str, flags: int) -> int:
        tries.append(flags)
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr(os, "memfd_create", none_left)
    with pytest.raises(OSError, match="none left"):
        memfd.seal_value(SecretValue(b"open sesame"))
    assert len(tries) == 1
