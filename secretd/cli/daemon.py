"""The commands about the daemon itself, and about whom it takes the caller for."""

from __future__ import annotations

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.operations import Status, Whoami


@command("whoami", "whoami")
def whoami(invocation: Invocation) -> None:
    """Show the caller as the daemon sees it."""
    reply = invocation.call(Whoami())
    invocation.show(reply, lambda: output.fields_table(reply))


@command("status", "status")
def status(invocation: Invocation) -> None:
    """Show the state of the daemon."""
    reply = invocation.call(Status())
    invocation.show(reply, lambda: output.fields_table(reply))
