"""The commands about a secret's existence and attributes: allocate, define, set-xml, dumpxml, undefine."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import click

from secretd.cli import inputs, output
from secretd.cli.invocation import Invocation, command
from secretd.cli.parameters import digest_option, ephemeral_option, file_argument, secret_argument
from secretd.model import Digest
from secretd.operations import AllocateId, Define, Delete, GetXml, SetXml


@command("secret-allocate", "allocate-id")
@click.option("--description", metavar="TEXT", help="What the secret is for, to people.")
@ephemeral_option
def secret_allocate(invocation: Invocation, description: str | None, ephemeral: bool) -> None:
    """Print the id that the daemon made."""
    reply = invocation.call(AllocateId(description=description, ephemeral=ephemeral))
    invocation.show(reply, lambda: f"{reply.secret}\n")


@command("secret-define", "define")
@file_argument
@click.option("--validate", is_flag=True, expose_value=False, help="As in virsh; the document is always validated.")
@digest_option
def secret_define(invocation: Invocation, file: Path, digest: Digest | None) -> None:
    """Define a secret from a file."""
    reply = invocation.call(Define(document=inputs.read_document(file), digest=digest))
    invocation.show(reply, lambda: f"Secret {reply.secret} created\n")


@command("secret-set-xml", "set-xml")
@secret_argument
@file_argument
@digest_option
def secret_set_xml(invocation: Invocation, secret: UUID, file: Path, digest: Digest | None) -> None:
    """Replace a secret's attributes from a file."""
    reply = invocation.call(SetXml(secret=secret, document=inputs.read_document(file), digest=digest))
    invocation.show(reply, lambda: f"Secret {reply.secret} changed\n")


@command("secret-dumpxml", "get-xml")
@secret_argument
def secret_dumpxml(invocation: Invocation, secret: UUID) -> None:
    """Print a secret's document."""
    reply = invocation.call(GetXml(secret=secret))
    invocation.show(reply, lambda: output.as_xml(reply.document))


@command("secret-undefine", "delete")
@secret_argument
@digest_option
def secret_undefine(invocation: Invocation, secret: UUID, digest: Digest | None) -> None:
    """Delete a secret."""
    reply = invocation.call(Delete(secret=secret, digest=digest))
    invocation.show(reply, lambda: f"Secret {secret} deleted\n")
