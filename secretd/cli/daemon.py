"""The commands about the daemon itself, and about whom it takes the caller for."""

from __future__ import annotations

from collections.abc import Iterator

import click

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.errors import SealError, StoreCorruptError
from secretd.model import SealState
from secretd.operations import DaemonStatus, Metrics, Status, Whoami

_EVIDENCE = {
    "uid": "SO_PEERCRED",
    "gid": "SO_PEERCRED",
    "pid": "SO_PEERCRED",
    "read_only": "the socket",
    "elevated": "libvirt's system token",
    "label": "SO_PEERSEC",
    "unit": "control group of the process",
    "invocation": "systemd",
    "executable": "/proc",
    "executable_trusted": "owners and modes on the path",
    "groups": "SO_PEERGROUPS",
    "further_groups": "SO_PEERGROUPS",
}
"""Where the daemon knows from what it says of a caller."""

_NEAR = 0.8
"""What is used by more than this is told of."""


@command("whoami", "whoami", short_help="Say whom the daemon takes you for.")
def whoami(invocation: Invocation) -> None:
    """Show the caller as the daemon sees it."""
    reply = invocation.call(Whoami())
    invocation.show(reply, lambda: output.fields_table(reply, _EVIDENCE) + output.held_table(reply.permissions))


@command("status", "status", short_help="Say how the daemon is.")
def status(invocation: Invocation) -> None:
    """Show the state of the daemon, and end with it."""
    reply = invocation.call(Status())
    invocation.show(reply, lambda: output.fields_table(reply) + output.records_table(reply.bounds))
    if reply.state is SealState.SEALED:
        raise SealError(f"the daemon is sealed: {reply.reason}")
    if reply.read_only:
        raise StoreCorruptError("the store lacks changes that were answered, and is read-only; see store-accept")
    near = ", ".join(_near(reply))
    if near:
        raise click.ClickException(f"near a bound: {near}")


@command("metrics", "metrics", short_help="Give counts for monitoring.")
def metrics(invocation: Invocation) -> None:
    """Write the metrics as they are."""
    reply = invocation.call(Metrics())
    invocation.show(reply, lambda: reply.text)


def _near(reply: DaemonStatus) -> Iterator[str]:
    for bound in reply.bounds:
        if bound.used > _NEAR * bound.most:
            yield f"{bound.name} ({bound.used:,} of {bound.most:,})"
