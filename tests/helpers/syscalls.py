"""Kill a program at each of the system calls with which it writes, by strace, and audit what it leaves."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers import core_programs
from helpers.core import open_core
from helpers.core_programs import (
    CHANGES,
    FIRST,
    KEY_CHANGES,
    KEYS,
    RESTORED,
    SECRET,
    prepare,
    prepare_keys,
    prepare_restore,
)
from helpers.load import State, audit
from secretd import keyrequests, storerequests
from secretd.core.kinds import MATERIAL
from secretd.keys import KeyId
from secretd.model import Attributes

CALLS = (
    *("write", "pwrite64", "pwritev", "ftruncate", "fallocate", "fsync", "fdatasync"),
    *("rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "chmod", "fchmod"),
)
"""All that may change a file system, but for opening."""

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Point:
    """The ``number``-th call of one name, from 1 on, in one program."""

    program: str
    call: str
    number: int


def points(program: str, root: Path) -> list[Point]:
    """Run a program undisturbed, and list the points at which it can be killed, in the order of CALLS."""
    directory = _place(program, root)
    trace = root / "trace"
    ended = _run(program, directory, ["-o", str(trace), "-e", f"trace={','.join(CALLS)}"])
    if ended.returncode or ended.stdout != "answered\n":
        raise AssertionError(f"{program} failed by itself: {ended.stderr}")
    found = Counter(re.findall(r"^(\w+)\(", trace.read_text(), re.MULTILINE))
    return [Point(program, call, number) for call in CALLS for number in range(1, found[call] + 1)]


def kill_at(point: Point, root: Path) -> str | None:
    """Kill the program at this point and audit; gives what is wrong."""
    directory = _place(point.program, root)
    inject = f"inject={point.call}:signal=KILL:when={point.number}"
    ended = _run(point.program, directory, ["-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject])
    if ended.returncode != -9:
        return f"{point}: not killed, but ended with {ended.returncode}: {ended.stderr}"
    answered = ended.stdout == "answered\n"
    try:
        if point.program == "first":
            _judge_first(directory, answered)
        elif point.program == "restore":
            _judge_restore(directory, answered)
        elif point.program in KEY_CHANGES:
            asyncio.run(_judge_keys(point.program, directory, answered))
        else:
            _judge_change(point.program, directory, answered)
    except AssertionError as error:
        return f"{point}, {answered=}: {error}"
    return None


def _place(program: str, root: Path) -> Path:
    """Make what the program starts from."""
    directory = root / "work"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    if program != "first":
        base = root / f"base-{program}"
        if not base.exists():
            base.mkdir(mode=0o700)
            asyncio.run(_prepare(program, base))
        shutil.copytree(base, directory, dirs_exist_ok=True)
    return directory


async def _prepare(program: str, base: Path) -> None:
    if program == "restore":
        await prepare_restore(base)
    elif program in KEY_CHANGES:
        await prepare_keys(base)
    else:
        await prepare(base, CHANGES[program][0])


def _run(program: str, directory: Path, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    # A process that measures coverage would write files of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["strace", "-qq", *options, sys.executable, "-P", core_programs.__file__, program, str(directory)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S)


def _judge_change(program: str, directory: Path, answered: bool) -> None:
    before, after = CHANGES[program]
    seen = asyncio.run(audit(directory))
    _expect(seen.keys() <= {SECRET}, "there are secrets that nobody made")
    found = seen.get(SECRET)
    allowed = [after] if answered else [before, after]
    _expect(any(_same(state, found) for state in allowed), f"found {found}, allowed {allowed}")


async def _judge_keys(program: str, directory: Path, answered: bool) -> None:
    allowed = [KEY_CHANGES[program][1]] if answered else [KEYS, KEY_CHANGES[program][1]]
    async with open_core(directory) as core:
        # What was cut short is gone on with.
        await core.service.deletions.round()
        listed = await core.call(keyrequests.KeyList())
        found: dict[KeyId, int] = {entry.key: entry.version for entry in listed.entries}
        _expect(found in allowed, f"found {found}, allowed {allowed}")
        left = await core.store.count(MATERIAL)
        _expect(left == sum(found.values()), f"the bytes of {left} versions are there")
        problems = (await core.call(storerequests.Check())).problems
        _expect(not problems, f"a check finds {problems}")


def _judge_restore(directory: Path, answered: bool) -> None:
    seen = asyncio.run(audit(directory))
    if seen or answered:
        _expect(seen.keys() == RESTORED.keys(), f"there are {sorted(seen)}")
        _expect(all(_same(state, seen[secret]) for secret, state in RESTORED.items()), f"found {seen}")
    _expect(not (directory / "keyring" / "restoring").exists(), "a restore is still under way after a start")


def _judge_first(directory: Path, answered: bool) -> None:
    # A second start goes on where the first was cut short.
    ended = _run("first", directory, ["-o", "/dev/null", "-e", "trace=none"]) if not answered else None
    _expect(ended is None or ended.stdout == "answered\n", f"it does not start again: {ended}")
    seen = asyncio.run(audit(directory))
    _expect(seen.keys() == {FIRST}, f"there are {sorted(seen)}")
    _expect(_same(State(Attributes(), b"first"), seen[FIRST]), f"found {seen[FIRST]}")


def _same(state: State | None, found: State | None) -> bool:
    return found is None if state is None else found is not None and state.is_seen_as(found)


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


PROGRAMS: tuple[str, ...] = ("first", "restore", *CHANGES, *KEY_CHANGES)
