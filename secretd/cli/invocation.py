"""What a command holds: which daemon to ask, how to ask it, and how to show what it said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from secretd.cli import output
from secretd.client import Client
from secretd.client.address import default_mode, socket_path
from secretd.model import Mode
from secretd.operations import BY_NAME, Entry, Reply, Request

ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of secretctl.

    Attributes:
        socket: the daemon's socket; None for the one of ``mode``.
        mode: whose daemon; None for the system's if the user is root, else the user's own.
        read_only: whether to ask on the socket that never writes nor reveals.
        json: whether a program reads the answer.
    """

    socket: Path | None = None
    mode: Mode | None = None
    read_only: bool = False
    json: bool = False

    def connect(self) -> Client:
        """Make a client of the daemon, to be entered before it is asked.

        Values travel by sealed memfd, so that no text of a message holds them.

        Raises:
            ConfigError: the session's socket has no place, as XDG_RUNTIME_DIR is not set.
        """
        path = self.socket or socket_path(self.mode or default_mode(), read_only=self.read_only)
        return Client(path, descriptors=True)

    def call(self, request: Request[ReplyT]) -> ReplyT:
        """Ask the daemon one thing.

        Raises:
            SecretdError: as the daemon answered, or because none did.
        """
        with self.connect() as client:
            return client.call(request)

    def show(self, reply: Reply | Sequence[Entry], for_people: Callable[[], str]) -> None:
        """Write a reply to standard output, as JSON if that was asked for, else as people want it."""
        output.write_text(output.as_json(reply) if self.json else for_people())


class OperationCommand(click.Command):
    """A command that stands for an operation of the table.

    Attributes:
        operation: the operation's name.
    """

    operation: str


def command(name: str, operation: str, **settings: Any) -> Callable[[Callable[..., None]], OperationCommand]:
    """Make a command of a function whose first argument is the Invocation; its help is the operation's.

    Args:
        name: what is typed.
        operation: the operation it stands for.
        settings: as click.Command takes them.
    """

    def decorate(function: Callable[..., None]) -> OperationCommand:
        with_json = click.option(
            "--json", is_flag=True, expose_value=False, callback=_choose_json, help="Write JSON, for programs."
        )
        made = click.command(name, cls=OperationCommand, help=BY_NAME[operation].help, **settings)(
            with_json(click.pass_obj(function))
        )
        made.operation = operation
        return made

    return decorate


def _choose_json(context: click.Context, _parameter: click.Parameter, chosen: bool) -> None:
    """Take --json after the command's name too, where most people look for it."""
    if chosen:
        context.obj = replace(context.obj, json=True)
