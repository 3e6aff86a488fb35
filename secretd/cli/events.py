"""The command that waits for events, and says them as virsh does.

A line is written as its event comes, so that a script that reads them acts at once.
"""

from __future__ import annotations

from uuid import UUID

import click

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.cli.parameters import ID, named_argument
from secretd.errors import ExitStatus
from secretd.operations import (
    Event,
    EventsLost,
    SecretChanged,
    SecretDefined,
    SecretDeleted,
    Subscribe,
    ValueChanged,
)

_LINES: dict[type[Event], str] = {
    SecretDefined: "event 'lifecycle' for secret {0.secret}: Defined\n",
    SecretChanged: "event 'lifecycle' for secret {0.secret}: Changed\n",
    SecretDeleted: "event 'lifecycle' for secret {0.secret}: Undefined\n",
    ValueChanged: "event 'value-changed' for secret {0.secret}\n",
    EventsLost: "event 'lost': only secret-list says how things are\n",
}
"""What is written for each. Source: libvirt, tools/virsh-secret.c, virshSecretEventPrint."""

_TIMED_OUT = "event loop timed out\n"


@command(
    "secret-event",
    "subscribe",
    short_help="Wait for changes to secrets.",
    help="Wait for changes to the secrets that you may see, or to one of them.",
)
@named_argument("secret", required=False, **{**ID, "metavar": "[ID]"})
@click.option("--loop", is_flag=True, help="Wait for more than one event: until the time is over, or Ctrl-C.")
@click.option("--timeout", metavar="SECONDS", type=click.IntRange(min=1), help="Wait for so long, and no longer.")
@click.option("--all", is_flag=True, expose_value=False, help="As in virsh; every kind of event is always shown.")
def secret_event(invocation: Invocation, secret: UUID | None, *, loop: bool, timeout: int | None) -> None:
    """Wait for events; none at all is a failure."""
    received = 0
    timed_out = True
    with invocation.connect() as client:
        client.call(Subscribe(secret=secret))
        for event in client.events(timeout):
            output.write_text(output.event_as_json(event) if invocation.json else _LINES[type(event)].format(event))
            received += 1
            if not loop:
                timed_out = False
                break
    if not invocation.json:
        output.write_text(f"{_TIMED_OUT if timed_out else ''}events received: {received}\n")
    if not received:
        raise click.exceptions.Exit(ExitStatus.FAILED)
