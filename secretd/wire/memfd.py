"""Values that travel as sealed memory: into a memfd, and out of one that a peer sent.

Beside outgoing.py this is the module of wire/ that makes system calls.  A sealed memfd is a format like any other,
but the kernel keeps its rules: whether nobody can change or cut the bytes any more is not in the bytes.  No call here
can wait on a peer: a descriptor is asked for its seals first, which only the kernel's own memory files
have, and nothing else is asked of any other kind of file (a stat may hang for ever on a file system that the peer
serves; so may a close, which is why an owner should not close a refused descriptor where others wait).

It never closes a descriptor that it was given.

Source: memfd_create(2), fcntl(2) "File Sealing"; docs/protocol.md, "Values".
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import ExitStack

from secretd import limits
from secretd.errors import InvalidValueError
from secretd.model import SecretValue

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
"""The seals that a value's descriptor carries at least."""

_NOEXEC_SEAL = 0x8  # MFD_NOEXEC_SEAL of linux/memfd.h, since Linux 6.3; Python's os does not name it yet
_NAME = "secretd-value"


def seal_value(value: SecretValue) -> int:
    """Put a value into a new sealed memfd, at offset 0.

    Returns:
        The descriptor, close-on-exec, the caller's to close.

    Raises:
        OSError: the process has no descriptor or the host no memory left.
    """
    with ExitStack() as undo:
        descriptor = _create()
        undo.callback(os.close, descriptor)
        rest = memoryview(value.reveal())
        while rest:
            # pwrite, not write: the offset is shared with the receiver, who may read from where it stands.
            rest = rest[os.pwrite(descriptor, rest, len(value) - len(rest)) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
        undo.pop_all()
    return descriptor


def read_value(descriptor: int) -> SecretValue:
    """Read the value out of a descriptor that a peer sent; the caller closes it, whatever happens here.

    Raises:
        InvalidValueError: it is no memfd, lacks a seal, is not readable, or has not 1 to 65,536 bytes.
    """
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        raise InvalidValueError("the value's descriptor is not a memfd") from None
    if seals & SEALS != SEALS:
        raise InvalidValueError("the value's descriptor does not carry all four seals: seal, shrink, grow and write")
    # Sealed: from here on the size and the bytes are what they are, whatever the peer does.
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise InvalidValueError("the value's descriptor is empty")
    if size > limits.VALUE_BYTES:
        raise InvalidValueError(f"the value's descriptor holds more than {limits.VALUE_BYTES} bytes")
    try:
        content = os.pread(descriptor, size, 0)
    except OSError:
        raise InvalidValueError("the value's descriptor is not open for reading") from None
    if len(content) != size:
        raise InvalidValueError("the value's descriptor could not be read whole")
    return SecretValue(content)


def _create() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(_NAME, flags | _NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.memfd_create(_NAME, flags)
