"""The commands that say what befalls a secret: archived, needed by somebody, protected, to be deleted."""

from __future__ import annotations

from uuid import UUID

import click

from secretd import limits
from secretd.cli.invocation import Invocation, OperationCommand, command
from secretd.cli.output import draw, records_table, yes_no
from secretd.cli.parameters import consumer_argument, digest_option, field_option, secret_argument
from secretd.lifecycle import ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Digest
from secretd.moments import format_time

_Changing = (
    type[SecretArchive] | type[SecretRestore] | type[SecretProtect] | type[SecretUnprotect] | type[SecretCancelDeletion]
)


def _changing(name: str, request: _Changing, short_help: str, said: str) -> OperationCommand:
    """Make a command that needs to know no more than which secret.

    Args:
        name: of the command and of the operation.
        request: the operation's.
        short_help: for the list of commands.
        said: what is said of the secret once it is done.
    """

    @command(name, name, short_help=short_help)
    @secret_argument
    @digest_option(request)
    def change(invocation: Invocation, *, secret: UUID, digest: Digest | None) -> None:
        reply = invocation.call(request(secret, digest))
        invocation.confirm(reply, f"Secret {reply.secret} {said}")

    return change


secret_archive = _changing("secret-archive", SecretArchive, "Take a secret out of new use.", "archived")
secret_restore = _changing("secret-restore", SecretRestore, "Bring an archived secret back.", "restored")
secret_protect = _changing("secret-protect", SecretProtect, "Keep a secret from being deleted.", "protected")
secret_unprotect = _changing("secret-unprotect", SecretUnprotect, "Let a secret be deleted again.", "unprotected")
secret_cancel_deletion = _changing(
    "secret-cancel-deletion", SecretCancelDeletion, "Have a secret not deleted after all.", "will not be deleted"
)


def _tables(lifecycle: SecretLifecycle) -> str:
    """Draw what befell a secret, and who needs it."""
    moments = {"Archived": lifecycle.archived, "Deleted on": lifecycle.due}
    said = {
        "Protected": yes_no(lifecycle.protected),
        **{name: format_time(moment) for name, moment in moments.items() if moment is not None},
        "Digest": lifecycle.digest,
    }
    drawn = draw(["", ""], [(f"{name}:", text) for name, text in said.items()])
    return drawn + records_table(lifecycle.references)


@command("secret-lifecycle", "secret-get-lifecycle", short_help="Show what befell a secret.")
@secret_argument
def secret_lifecycle(invocation: Invocation, secret: UUID) -> None:
    """Show what befell a secret."""
    reply = invocation.call(SecretGetLifecycle(secret))
    invocation.show(reply, lambda: _tables(reply))


@command("secret-attach", "secret-attach", short_help="Note that somebody needs a secret.")
@secret_argument
@consumer_argument
@click.option("--associated", is_flag=True, help="For no new use, but only to open what is there.")
@digest_option(SecretAttach)
def secret_attach(
    invocation: Invocation, *, secret: UUID, consumer: str, associated: bool, digest: Digest | None
) -> None:
    """Attach a consumer to a secret."""
    kind = ReferenceKind.ASSOCIATED if associated else ReferenceKind.ACTIVE
    reply = invocation.call(SecretAttach(secret, consumer, kind, digest))
    invocation.confirm(reply, f"Secret {reply.secret} is needed by {consumer}")


@command("secret-detach", "secret-detach", short_help="Note that somebody needs a secret no more.")
@secret_argument
@consumer_argument
@digest_option(SecretDetach)
def secret_detach(invocation: Invocation, *, secret: UUID, consumer: str, digest: Digest | None) -> None:
    """Detach a consumer from a secret."""
    reply = invocation.call(SecretDetach(secret, consumer, digest))
    invocation.confirm(reply, f"Secret {reply.secret} is not needed by {consumer} any more")


@command("secret-schedule-deletion", "secret-schedule-deletion", short_help="Have a secret deleted after some days.")
@secret_argument
@field_option(
    SecretScheduleDeletion,
    "days",
    metavar="N",
    type=click.IntRange(limits.WINDOW_DAYS_LEAST, limits.WINDOW_DAYS),
    default=int(limits.WINDOW_DAYS),
    show_default=True,
)
@digest_option(SecretScheduleDeletion)
def secret_schedule_deletion(invocation: Invocation, *, secret: UUID, days: int, digest: Digest | None) -> None:
    """Schedule a secret's deletion."""
    reply = invocation.call(SecretScheduleDeletion(secret, days, digest))
    invocation.confirm(reply, f"Secret {reply.secret} will be deleted on {format_time(reply.due)}")
