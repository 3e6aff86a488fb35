"""The commands that write a backup to a file, and bring one back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from secretd import limits
from secretd.cli.invocation import Invocation, command
from secretd.cli.newfile import NewFile, new_file
from secretd.client import Client
from secretd.errors import InvalidRequestError, StoreCorruptError
from secretd.model import SecretValue
from secretd.storerequests import Backup, BackupPart, Restore, RestoreTaken

_PART_SECONDS = 86_400.0
"""The last part of a restore takes as long as the backup is large; who gives it up presses Ctrl-C."""


class BackupType(click.Path):
    """The name of a file that a backup is in."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take a name, but not ``-``: what was written is read back, and how far reading is, a file's size says."""
        if str(value) == "-":
            self.fail("name a file: a backup goes through no pipe; ./- is a file of that name.", param, ctx)
        return super().convert(value, param, ctx)


_FILE: dict[str, Any] = {"metavar": "FILE", "type": BackupType()}


@command("backup", "backup", short_help="Write all that is stored, sealed as it is.")
@click.argument("file", **_FILE)
def backup(invocation: Invocation, file: Path) -> None:
    """Write a backup; that something in it does not open is said after it was written."""
    with invocation.connect(_PART_SECONDS) as client, new_file(file) as written:
        last = _receive(invocation, client, written)
    invocation.confirm(
        last,
        f"{_counted(last.secrets, last.grants)} of revision {last.revision:,} are in {file}",
        {"value": None, "file": str(file), "bytes": written.size},
    )
    if last.damaged:
        raise StoreCorruptError(f"the backup is written, but so many records do not open: {last.damaged}")


@command("restore", "restore", short_help="Bring a backup into an empty store.")
@click.argument("file", **_FILE)
@click.option("--dry-run", is_flag=True, help="Look the backup through, and change nothing.")
def restore(invocation: Invocation, file: Path, *, dry_run: bool) -> None:
    """Restore a backup; that something in it does not open is said after the rest was restored."""
    with _opened(file) as content, invocation.connect(_PART_SECONDS) as client:
        reply = _send(invocation, client, content, dry_run=dry_run)
    done = "can be restored" if dry_run else "are restored, in the place of the grants that there were"
    counted = _counted(reply.secrets or 0, reply.grants or 0)
    invocation.confirm(reply, f"{counted} of revision {reply.revision:,} {done}")
    if reply.damaged:
        raise StoreCorruptError(f"so many records of the backup do not open: {reply.damaged}")


def _counted(secrets: int, grants: int) -> str:
    return " and ".join(
        f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in ((secrets, "secret"), (grants, "grant"))
    )


def _receive(invocation: Invocation, client: Client, file: NewFile) -> BackupPart:
    part = client.call(Backup())
    file.write(part.value.reveal())
    with invocation.working("Writing records", part.total) as advance:
        while not part.last:
            before = part.records
            part = client.call(Backup(part.backup))
            advance(part.records - before)
            file.write(part.value.reveal())
    return part


def _send(invocation: Invocation, client: Client, file: BinaryIO, *, dry_run: bool) -> RestoreTaken:
    part, name = file.read(limits.VALUE_BYTES), None
    if not part:
        raise InvalidRequestError("this is no backup: the file is empty")
    with invocation.working("Sending the backup", os.fstat(file.fileno()).st_size) as advance:
        while following := file.read(limits.VALUE_BYTES):
            name = client.call(Restore(SecretValue(part), name, dry_run=dry_run)).restore
            advance(len(part))
            part = following
    with invocation.working("Looking it through" if dry_run else "Restoring"):
        return client.call(Restore(SecretValue(part), name, last=True, dry_run=dry_run))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}.") from None
    with file:
        yield file
