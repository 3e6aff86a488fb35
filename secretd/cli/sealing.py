"""The commands about the seal: its keyrings, their rotation, and the retirement of old versions."""

from __future__ import annotations

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.storerequests import SealRetire, SealRotate, SealStatus


@command("seal-status", "seal-status", short_help="Show the keyrings and how far resealing is.")
def seal_status(invocation: Invocation) -> None:
    """Show the keyrings and how far resealing is."""
    reply = invocation.call(SealStatus())
    invocation.show(reply, lambda: output.records_table(reply.keyrings) + output.fields_table(reply))


@command("seal-rotate", "seal-rotate", short_help="Give the keyrings a new version.")
def seal_rotate(invocation: Invocation) -> None:
    """Give the keyrings a new version."""
    reply = invocation.call(SealRotate())
    invocation.confirm(reply, f"Version {reply.version} seals from now on; records are sealed anew")


@command("seal-retire", "seal-retire", short_help="Drop old versions of the keyrings.")
def seal_retire(invocation: Invocation) -> None:
    """Drop old versions."""
    reply = invocation.call(SealRetire())
    invocation.confirm(reply, f"Version {reply.version} is the only one now")
