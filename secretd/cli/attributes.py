"""The commands about a secret's existence and attributes: allocate, define, set-xml, dumpxml, undefine."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import click

from secretd import limits
from secretd.cli import inputs, output
from secretd.cli.invocation import Invocation, command
from secretd.cli.parameters import (
    FILE,
    ID,
    digest_option,
    field_option,
    named_argument,
    on_the_command_line,
    secret_argument,
)
from secretd.model import Digest, check_text
from secretd.operations import AllocateId, Define, Delete, GetXml, SetXml

DOCUMENT = """\b
FILE holds a document like this one, of which no part is required:
  <secret ephemeral='no' private='no'>
    <uuid>6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40</uuid>
    <description>The root disk of guest one</description>
    <usage type='volume'>
      <volume>/var/lib/libvirt/images/one.qcow2</volume>
    </usage>
  </secret>

The usages of the other types hold another element: ceph, tls and vtpm a <name>, iscsi a <target>.
"""
"""What the help of a command that reads a document says at its end."""


@command("secret-allocate", "allocate-id", short_help="Make an id for a new secret.")
@field_option(AllocateId, "description", metavar="TEXT")
@field_option(AllocateId, "ephemeral", is_flag=True)
def secret_allocate(invocation: Invocation, description: str | None, ephemeral: bool) -> None:
    """Print the id that the daemon made."""
    if description is not None:
        with on_the_command_line("--description"):
            check_text(description, "a description", limits.DESCRIPTION_BYTES)
    reply = invocation.call(AllocateId(description=description, ephemeral=ephemeral))
    invocation.show(reply, lambda: f"{reply.secret}\n")


@command("secret-define", "define", short_help="Define a secret from a document.", epilog=DOCUMENT)
@named_argument("file", **FILE)
@click.option("--validate", is_flag=True, expose_value=False, help="As in virsh; the document is always validated.")
@digest_option(Define)
def secret_define(invocation: Invocation, file: Path, digest: Digest | None) -> None:
    """Define a secret from a file."""
    reply = invocation.call(Define(document=inputs.read_document(file), digest=digest))
    invocation.confirm(reply, f"Secret {reply.secret} created")


@command("secret-set-xml", "set-xml", short_help="Replace all attributes of a secret.", epilog=DOCUMENT)
@click.argument("secret", **ID)
@click.argument("file", **FILE)
@digest_option(SetXml)
def secret_set_xml(invocation: Invocation, secret: UUID, file: Path, digest: Digest | None) -> None:
    """Replace a secret's attributes from a file."""
    reply = invocation.call(SetXml(secret=secret, document=inputs.read_document(file), digest=digest))
    invocation.confirm(reply, f"Secret {reply.secret} changed")


@command("secret-dumpxml", "get-xml")
@secret_argument
def secret_dumpxml(invocation: Invocation, secret: UUID) -> None:
    """Print a secret's document."""
    reply = invocation.call(GetXml(secret=secret))
    invocation.show(reply, lambda: output.as_xml(reply.document))


@command("secret-undefine", "delete", short_help="Delete a secret.")
@secret_argument
@digest_option(Delete)
def secret_undefine(invocation: Invocation, secret: UUID, digest: Digest | None) -> None:
    """Delete a secret."""
    reply = invocation.call(Delete(secret=secret, digest=digest))
    invocation.confirm(reply, f"Secret {secret} deleted")
