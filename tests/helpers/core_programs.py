"""Programs that do one thing with the whole core, all of it in their main thread, to be killed at a system call.

first DIRECTORY     begin with nothing, or with what an earlier one left: make keys and store, allocate an id
restore DIRECTORY   restore the backup that ``prepare_restore`` left there
CHANGE DIRECTORY    make one change (see CHANGES) to what ``prepare`` left there, or of a key (see KEY_CHANGES) to what
                    ``prepare_keys`` did

Each says "answered" once what it did was answered, and then ends in order.

strace counts the calls of each thread by itself, so a store with a thread of its own would meet the K-th call of
another.  Here the store's worker runs what it is given at once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from helpers.core import Core, open_core
from helpers.keys import key_id
from helpers.load import State
from secretd import keyrequests, limits, storerequests
from secretd import operations as ops
from secretd.keys import KeyDocument, KeyId
from secretd.lifecycle import OutOfUse
from secretd.lifecyclerequests import SecretArchive, SecretCancelDeletion, SecretRestore, SecretScheduleDeletion
from secretd.model import Attributes, SealState, SecretDocument, SecretValue, Usage, UsageType
from secretd.requests import Request
from secretd.store import sqlite

SECRET, FIRST = UUID(int=1), UUID(int=2)
OLD = State(Attributes(Usage(UsageType.VOLUME, "/old"), "d" * 1_000), b"old" * 3_000)
NEW = State(Attributes(Usage(UsageType.CEPH, "new"), "n" * 2_000), b"new" * 9_000)
RESTORED = {SECRET: OLD, FIRST: NEW}
BACKUP = "a.backup"
_WINDOW_S = 31 * 86_400
IN_MEMORY = Attributes(OLD.attributes.usage, OLD.attributes.description, ephemeral=True)

ARCHIVED, PENDING = (replace(OLD, out_of_use=why) for why in OutOfUse)
DUE = "deletion-at-the-end"
"""The change that no request asks for: the clock does, at the end of the window."""

CHANGES: dict[str, tuple[State | None, State | None]] = {
    "set-xml": (OLD, State(NEW.attributes, OLD.value)),
    "set-value": (OLD, State(OLD.attributes, NEW.value)),
    "delete": (OLD, None),
    "to-memory": (OLD, None),
    "to-store": (None, OLD),
    "archive": (OLD, ARCHIVED),
    "restore-archived": (ARCHIVED, OLD),
    "schedule-deletion": (OLD, PENDING),
    "cancel-deletion": (PENDING, OLD),
    DUE: (PENDING, None),
}
"""What is in the store before and after each change."""


ROTATED, DOOMED, MADE = key_id("rotated"), key_id("doomed"), key_id("made")
KEYS = {ROTATED: 1, DOOMED: 3}
"""The keys that there are before a change of one, and how many versions each has."""

KEY_CHANGES: dict[str, tuple[Request[Any], dict[KeyId, int]]] = {
    "key-create": (keyrequests.KeyCreate(KeyDocument(MADE)), {**KEYS, MADE: 1}),
    "key-rotate": (keyrequests.KeyRotate(ROTATED), {**KEYS, ROTATED: 2}),
    "key-delete": (keyrequests.KeyDelete(DOOMED, DOOMED), {ROTATED: 1}),
}
"""Each change of a key, and which keys there are after it."""


async def prepare(directory: Path, state: State | None) -> None:
    """Make a store that holds this as SECRET; None for a secret in memory, which ends with the process."""
    async with open_core(directory) as core:
        if state is not None:
            await _put(core, state.attributes, state.value)
            if state.out_of_use is not None:
                await core.call(REQUESTS["archive" if state is ARCHIVED else "schedule-deletion"])


async def prepare_keys(directory: Path) -> None:
    """Make a store that holds KEYS."""
    async with open_core(directory) as core:
        for key, versions in KEYS.items():
            await core.call(keyrequests.KeyCreate(KeyDocument(key)))
            for _ in range(versions - 1):
                await core.call(keyrequests.KeyRotate(key))
        await core.call(keyrequests.KeyDisable(DOOMED))


async def prepare_restore(directory: Path) -> None:
    """Make an empty store, by the root key of a backup of two secrets that is beside it."""
    old = directory / "old"
    old.mkdir(mode=0o700)
    async with open_core(old) as core:
        for secret, state in RESTORED.items():
            await core.call(ops.SetXml(secret, SecretDocument(state.attributes)))
            await core.call(ops.SetValue(secret, SecretValue(_bytes_of(state))))
        with (directory / BACKUP).open("wb") as file:
            part = await core.call(storerequests.Backup())
            file.write(part.value.reveal())
            while not part.last:
                part = await core.call(storerequests.Backup(part.backup))
                file.write(part.value.reveal())
    (directory / "config").mkdir(mode=0o700)
    shutil.copy(old / "config" / "root.key", directory / "config" / "root.key")
    shutil.rmtree(old)
    async with open_core(directory):
        pass


async def restore(directory: Path) -> None:
    async with open_core(directory) as core:
        data, name = (directory / BACKUP).read_bytes(), None
        while len(data) > limits.VALUE_BYTES:
            part = SecretValue(data[: limits.VALUE_BYTES])
            name = (await core.call(storerequests.Restore(part, name))).restore
            data = data[limits.VALUE_BYTES :]
        await core.call(storerequests.Restore(SecretValue(data), name, last=True))
        say_answered()


async def first(directory: Path) -> None:
    async with open_core(directory) as core:
        if core.seal.status.state is not SealState.OPEN:
            raise RuntimeError(core.seal.status.reason)
        await core.call(ops.SetValue(FIRST, SecretValue(b"first")))
        say_answered()


async def change(name: str, directory: Path) -> None:
    ahead_s = _WINDOW_S if name == DUE else 0
    async with open_core(directory, read_clock=lambda: time.time() + ahead_s) as core:
        if name == "to-store":
            await _put(core, IN_MEMORY, OLD.value)
        if name == DUE:
            await core.service.deletions.round()
        else:
            await core.call(REQUESTS[name])
        say_answered()


async def change_key(name: str, directory: Path) -> None:
    async with open_core(directory) as core:
        await core.call(KEY_CHANGES[name][0])
        say_answered()


def _bytes_of(state: State) -> bytes:
    if not isinstance(state.value, bytes):
        raise TypeError("a value of bytes is put")
    return state.value


async def _put(core: Core, attributes: Attributes, value: bytes | int | None) -> None:
    if not isinstance(value, bytes):
        raise TypeError("a value of bytes is put")
    await core.call(ops.SetXml(SECRET, SecretDocument(attributes)))
    await core.call(ops.SetValue(SECRET, SecretValue(value)))


REQUESTS: dict[str, ops.Request[Any]] = {
    "set-xml": ops.SetXml(SECRET, SecretDocument(NEW.attributes)),
    "set-value": ops.SetValue(SECRET, SecretValue(b"new" * 9_000)),
    "delete": ops.Delete(SECRET),
    "to-memory": ops.SetXml(SECRET, SecretDocument(IN_MEMORY)),
    "to-store": ops.SetXml(SECRET, SecretDocument(OLD.attributes)),
    "archive": SecretArchive(SECRET),
    "restore-archived": SecretRestore(SECRET),
    "schedule-deletion": SecretScheduleDeletion(SECRET),
    "cancel-deletion": SecretCancelDeletion(SECRET),
}


def say_answered() -> None:
    # In one system call, and with nothing left for the end of the process to write.
    os.write(1, b"answered\n")


class AtOnce(Executor):
    """Stands in for the store's worker thread."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **named))
        except Exception as error:  # noqa: BLE001  # as every executor does
            done.set_exception(error)
        return done


if __name__ == "__main__":
    program, place = sys.argv[1:]
    sqlite.ThreadPoolExecutor = AtOnce  # type: ignore[assignment, attr-defined]  # see the module
    whole = {"first": first, "restore": restore}
    make = change_key if program in KEY_CHANGES else change
    asyncio.run(whole[program](Path(place)) if program in whole else make(program, Path(place)))
