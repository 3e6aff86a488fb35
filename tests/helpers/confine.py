"""Runs a command in what a unit's sandbox makes of a process, where no systemd runs: ``confine.py UNIT COMMAND...``.

Applied for real are the capabilities (none), NoNewPrivileges, the environment, and three filters of system calls,
by libseccomp, as systemd makes them: SystemCallFilter, MemoryDenyWriteExecute, RestrictAddressFamilies.  Not applied
is what needs a manager or a file system of its own: namespaces, mounts, directories, limits.

Source: systemd.exec(5); systemd's shared/seccomp-util.c, for what each setting filters; libseccomp's seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38  # linux/prctl.h
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7


class _Compare(ctypes.Structure):
    """One comparison of an argument: struct scmp_arg_cmp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def settings(unit: Path) -> dict[str, list[str]]:
    """Read a unit's settings, each with all that it was given, in order."""
    read: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="ascii").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            read.setdefault(name, []).append(value)
    return read


def environment(unit: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Give the variables that a unit sets."""
    return dict(setting.partition("=")[::2] for setting in unit["Environment"])


def allowed_calls(filters: Sequence[str]) -> set[str]:
    """Give the names of the system calls that these SystemCallFilter= lines leave."""
    # An allow-list has @default by itself.
    allowed = set(_expanded("@default"))
    for line in filters:
        names = {name for item in line.removeprefix("~").split() for name in _expanded(item)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _expanded(item: str) -> Iterator[str]:
    if not item.startswith("@"):
        yield item
        return
    shown = subprocess.run(["systemd-analyze", "syscall-filter", item], capture_output=True, text=True, check=True)
    for line in shown.stdout.splitlines()[1:]:
        name = line.strip()
        if name and not name.startswith("#"):
            yield from _expanded(name)


class _Filter:
    """One filter of system calls, which the kernel keeps until the process ends."""

    def __init__(self, otherwise: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2")
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(otherwise)))

    def rule(self, action: int, call: str, *compared: tuple[int, int, int, int]) -> None:
        """Let something happen at a call, if its arguments are so; a call that this machine lacks is passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:
            arguments = (_Compare * len(compared))(*itertools.starmap(_Compare, compared))
            add = self._library.seccomp_rule_add_array
            _check(add(self._context, ctypes.c_uint32(action), number, len(compared), arguments))

    def load(self) -> None:
        """Put it in force."""
        _check(self._library.seccomp_load(self._context))


def _check(result: int) -> None:
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def _filter_families() -> None:
    families = _Filter(_ALLOW)
    families.rule(_ERRNO | errno.EAFNOSUPPORT, "socket", (0, _NOT_EQUAL, socket.AF_UNIX, 0))
    families.load()


def _filter_executable_memory() -> None:
    memory = _Filter(_ALLOW)
    both = mmap.PROT_WRITE | mmap.PROT_EXEC
    memory.rule(_ERRNO | errno.EPERM, "mmap", (2, _MASKED_EQUAL, both, both))
    for call in ("mprotect", "pkey_mprotect"):
        memory.rule(_ERRNO | errno.EPERM, call, (2, _MASKED_EQUAL, mmap.PROT_EXEC, mmap.PROT_EXEC))
    memory.load()


def _filter_calls(filters: Sequence[str]) -> None:
    names = allowed_calls(filters)
    calls = _Filter(_ERRNO | errno.EPERM)
    for name in names:
        calls.rule(_ALLOW, name)
    calls.load()


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    number = 0
    while (held := libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if held and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")
        number += 1
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def main() -> None:
    """Confine this process, and become the command."""
    unit, command = settings(Path(sys.argv[1])), sys.argv[2:]
    # What the unit does not say must not be held here: then the test would prove another sandbox.
    if (unit["CapabilityBoundingSet"], unit["MemoryDenyWriteExecute"], unit["RestrictAddressFamilies"]) != (
        [""],
        ["yes"],
        ["AF_UNIX"],
    ):
        raise SystemExit("the unit's sandbox is not the one that is built here")
    os.environ.update(environment(unit))
    _drop_capabilities()
    _filter_families()
    _filter_executable_memory()
    _filter_calls(unit["SystemCallFilter"])
    os.execvp(command[0], command)  # noqa: S606  # what the test names


if __name__ == "__main__":
    main()
