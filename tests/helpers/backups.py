"""Backups of a core for tests: of one that was filled, and brought back in another place."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

from helpers.core import Core
from helpers.core import in_core as in_any_core
from secretd import operations as ops
from secretd import storerequests
from secretd.model import Attributes, Caller, SecretDocument, SecretValue, Usage, UsageType

COUNT = 40
BEGINNING = SecretValue(b"secretd backup")
OTHER_USER = Caller(uid=4711, gid=4711, pid=1)
DEADLINE_S = 30


def in_core(root: Path, test: Callable[[Core], Awaitable[None]]) -> None:
    """Run a test with a core in which everybody may do everything."""
    in_any_core(root, test, policy=lambda *_: True)


def value_of(number: int) -> SecretValue:
    return SecretValue(b"the plain value %d " % number * 20)


async def fill(core: Core) -> None:
    for number in range(1, COUNT + 1):
        usage = Usage(UsageType.VOLUME, f"/a/plain/path/{number}")
        caller = OTHER_USER if number % 3 else Caller(0, 0, 1)
        attributes = Attributes(usage, description="a plain description", private=number % 5 == 0)
        await core.call(ops.SetXml(UUID(int=number), SecretDocument(attributes)), caller)
        await core.call(ops.SetValue(UUID(int=number), value_of(number)), caller)


async def backed_up(core: Core) -> bytes:
    part = await core.call(storerequests.Backup())
    parts = [part]
    while not part.last:
        part = await core.call(storerequests.Backup(part.backup))
        parts.append(part)
    return b"".join(part.value.reveal() for part in parts)


async def restored(core: Core, data: bytes, *, dry_run: bool = False, size: int = 50_000) -> storerequests.RestoreTaken:
    pieces = [SecretValue(data[start : start + size]) for start in range(0, len(data), size)]
    name = None
    for piece in pieces[:-1]:
        name = (await core.call(storerequests.Restore(piece, name, dry_run=dry_run))).restore
    return await core.call(storerequests.Restore(pieces[-1], name, last=True, dry_run=dry_run))


async def fill_parts(core: Core) -> None:
    """Keep so much that a backup has more parts than one."""
    for number in range(1, 5):
        await core.call(ops.SetValue(UUID(int=number), SecretValue(b"x" * 60_000)))


async def everything(core: Core) -> dict[UUID, tuple[object, ...]]:
    found: dict[UUID, tuple[object, ...]] = {}
    for entry in (await core.call(ops.List())).entries:
        document = (await core.call(ops.GetXml(entry.secret))).document
        value = None if entry.private else (await core.call(ops.GetValue(entry.secret))).value.reveal()
        found[entry.secret] = (entry, document, value)
    return found


async def assert_sound(core: Core) -> None:
    assert (await core.call(storerequests.Check())).problems == ()
    assert not (await core.call(ops.Status())).read_only


async def assert_untouched(core: Core) -> None:
    assert (await core.call(ops.List())).entries == ()
    await assert_sound(core)


def make_backup(root: Path) -> tuple[bytes, dict[UUID, tuple[object, ...]]]:
    """Fill a daemon's place, and give a backup of it and what it held."""
    kept: list[object] = []

    async def test(core: Core) -> None:
        await fill(core)
        kept.extend([await backed_up(core), await everything(core)])

    in_core(root / "old", test)
    return kept[0], kept[1]  # type: ignore[return-value]


def new_place(tmp_path: Path, name: str = "new") -> Path:
    """Make a place in another layout, with the old root key and nothing else."""
    root = tmp_path / "another" / "layout" / name
    (root / "config").mkdir(parents=True, mode=0o700)
    shutil.copy(tmp_path / "old" / "config" / "root.key", root / "config" / "root.key")
    return root
