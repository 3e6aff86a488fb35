"""The process starts itself anew, once and first of all, so that what it frees is overwritten.

CPython's own allocator and glibc's leave in freed memory what was there.  With PYTHONMALLOC=malloc every object is
glibc's, and glibc can be told to overwrite what it gets back; both are read from the environment before the first
line of Python runs.  Units set them; where nobody did, this module does and starts the same command again.

Whether they work is not judged here: hardening.py looks.  This module imports nothing of secretd, because what is
loaded before the new start is loaded twice.

Source: DESIGN, "In memory"; Python's documentation of PYTHONMALLOC; the GNU C Library manual, "Memory Allocation
Tunables"; execve(2); ld.so(8).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress

ALLOCATOR = ("PYTHONMALLOC", "malloc")
"""The variable that makes every object of Python one of malloc's, and its value."""

TUNABLES = ("GLIBC_TUNABLES", "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0")
"""The variable that makes free overwrite, and its value: any byte but 0, and no cache that it would pass by."""

BINDING = ("LD_BIND_NOW", "1")
"""The variable that has the loader bind all functions at start: the first call of one that it did not saves the
processor's registers on the stack, with what was copied last in them."""

MARKER = "SECRETD_STARTED_ANEW"
"""The variable that says that this was done: a second time it would do no more good, and have no end."""


def ensure_settings() -> None:
    """Start the process anew if it lacks the settings; then take them out of the environment, for its children.

    Returns with the settings, or without them where they cannot be had: after the one new start, where Python was
    told to ignore its environment (-E, -I), or where the kernel does not start the interpreter again.
    """
    if not _has_settings(os.environ) and MARKER not in os.environ and not sys.flags.ignore_environment:
        _start_anew()
    for name in (MARKER, ALLOCATOR[0], TUNABLES[0], BINDING[0]):
        os.environ.pop(name, None)


def _start_anew() -> None:
    command = [sys.executable, *sys.orig_argv[1:]]
    # The second is the same file, also where its path has changed or leads through what this user may not enter.
    for program in (sys.executable, "/proc/self/exe"):
        with suppress(OSError):
            os.execve(program, command, _with_settings(os.environ))  # noqa: S606


def _has_settings(environment: Mapping[str, str]) -> bool:
    tunables = dict(setting.partition("=")[::2] for setting in environment.get(TUNABLES[0], "").split(":"))
    overwrites = tunables.get("glibc.malloc.perturb", "0") != "0" and tunables.get("glibc.malloc.tcache_count") == "0"
    return overwrites and all(environment.get(name) == value for name, value in (ALLOCATOR, BINDING))


def _with_settings(environment: Mapping[str, str]) -> dict[str, str]:
    name, tunables = TUNABLES
    # Behind what is there: of two settings of a tunable, the later one holds.
    merged = ":".join(filter(None, (environment.get(name), tunables)))
    return {**environment, **dict((ALLOCATOR, BINDING)), name: merged, MARKER: "yes"}
