"""The commands that change what a key can be used for, say who needs it, and destroy it."""

from __future__ import annotations

import click

from secretd import limits
from secretd.cli.invocation import Invocation, OperationCommand, command
from secretd.cli.parameters import KEY, consumer_argument, digest_option, field_option, key_argument
from secretd.keyrequests import (
    KeyArchive,
    KeyAttach,
    KeyCancelDeletion,
    KeyDelete,
    KeyDetach,
    KeyDisable,
    KeyEnable,
    KeyRestore,
    KeyRotate,
    KeyScheduleDeletion,
)
from secretd.keys import KeyId
from secretd.lifecycle import ReferenceKind
from secretd.model import Digest
from secretd.moments import format_time

_Changing = type[KeyEnable] | type[KeyDisable] | type[KeyArchive] | type[KeyRestore] | type[KeyCancelDeletion]


def _changing(name: str, request: _Changing, short_help: str, said: str) -> OperationCommand:
    """Make a command that needs to know no more than which key.

    Args:
        name: of the command and of the operation.
        request: the operation's.
        short_help: for the list of commands.
        said: what is said of the key once it is done.
    """

    @command(name, name, short_help=short_help)
    @key_argument
    @digest_option(request)
    def change(invocation: Invocation, *, key: KeyId, digest: Digest | None) -> None:
        reply = invocation.call(request(key, digest))
        invocation.confirm(reply, f"Key {reply.key} {said}")

    return change


key_enable = _changing("key-enable", KeyEnable, "Let a disabled key be used again.", "enabled")
key_disable = _changing("key-disable", KeyDisable, "Let a key be used for nothing.", "disabled")
key_archive = _changing("key-archive", KeyArchive, "Take a key out of new use.", "archived")
key_restore = _changing("key-restore", KeyRestore, "Bring an archived key back.", "restored")
key_cancel_deletion = _changing(
    "key-cancel-deletion", KeyCancelDeletion, "Have a key not destroyed after all.", "will not be destroyed"
)


@command("key-rotate", "key-rotate", short_help="Give a key a new version.")
@key_argument
@digest_option(KeyRotate)
def key_rotate(invocation: Invocation, *, key: KeyId, digest: Digest | None) -> None:
    """Give a key a new version."""
    reply = invocation.call(KeyRotate(key, digest))
    invocation.confirm(reply, f"Version {reply.version} of key {reply.key} seals from now on")


@command("key-schedule-deletion", "key-schedule-deletion", short_help="Have a key destroyed after some days.")
@key_argument
@field_option(
    KeyScheduleDeletion,
    "days",
    metavar="N",
    type=click.IntRange(limits.WINDOW_DAYS_LEAST, limits.WINDOW_DAYS),
    default=int(limits.WINDOW_DAYS),
    show_default=True,
)
@digest_option(KeyScheduleDeletion)
def key_schedule_deletion(invocation: Invocation, *, key: KeyId, days: int, digest: Digest | None) -> None:
    """Schedule a key's destruction."""
    reply = invocation.call(KeyScheduleDeletion(key, days, digest))
    invocation.confirm(reply, f"Key {reply.key} will be destroyed on {format_time(reply.due)}")


@command("key-delete", "key-delete", short_help="Destroy a key at once.")
@key_argument
@field_option(KeyDelete, "confirm", **KEY, required=True)
@digest_option(KeyDelete)
def key_delete(invocation: Invocation, *, key: KeyId, confirm: KeyId, digest: Digest | None) -> None:
    """Destroy a key."""
    reply = invocation.call(KeyDelete(key, confirm, digest))
    invocation.confirm(reply, f"Key {key} destroyed")


@command("key-attach", "key-attach", short_help="Note that somebody needs a key.")
@key_argument
@consumer_argument
@click.option("--associated", is_flag=True, help="For no new use, but only to open what is there.")
@digest_option(KeyAttach)
def key_attach(invocation: Invocation, *, key: KeyId, consumer: str, associated: bool, digest: Digest | None) -> None:
    """Attach a consumer to a key."""
    kind = ReferenceKind.ASSOCIATED if associated else ReferenceKind.ACTIVE
    reply = invocation.call(KeyAttach(key, consumer, kind, digest))
    invocation.confirm(reply, f"Key {reply.key} is needed by {consumer}")


@command("key-detach", "key-detach", short_help="Note that somebody needs a key no more.")
@key_argument
@consumer_argument
@digest_option(KeyDetach)
def key_detach(invocation: Invocation, *, key: KeyId, consumer: str, digest: Digest | None) -> None:
    """Detach a consumer from a key."""
    reply = invocation.call(KeyDetach(key, consumer, digest))
    invocation.confirm(reply, f"Key {reply.key} is not needed by {consumer} any more")
