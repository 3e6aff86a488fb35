"""What a command holds: which daemon to ask, how to ask it, and how to show what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click

from secretd.addresses import default_mode
from secretd.cli import output
from secretd.cli.keeping import KeptConnection
from secretd.cli.parameters import SocketType
from secretd.cli.progress import no_progress, progress
from secretd.client import Client
from secretd.client.address import socket_path
from secretd.model import Mode
from secretd.operations import BY_NAME, Reply, Request

ReplyT = TypeVar("ReplyT", bound=Reply)


_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of secretctl.

    Attributes:
        socket: the daemon's socket; None for that of a mode.
        session: whether to ask the user's own daemon.
        system: whether to ask the host's daemon; what root asks, and nobody else, if no daemon is chosen.
        read_only: whether to ask on the socket that never writes nor reveals.
        json: whether a program reads the answer.
        quiet: whether to leave out what only says that all went well.
        kept: the connection of the shell that the command was given to; None outside a shell.

    Raises:
        click.UsageError: two daemons were chosen.
    """

    socket: Path | None = None
    session: bool = False
    system: bool = False
    read_only: bool = False
    json: bool = False
    quiet: bool = False
    kept: KeptConnection | None = None

    def __post_init__(self) -> None:
        if self.session + self.system + (self.socket is not None) > 1:
            raise click.UsageError("--connect, --session and --system each choose a daemon; give one of them.")
        if self.socket is not None and self.read_only:
            raise click.UsageError("give --connect the read-only socket itself, whose name ends in -ro.")

    @property
    def mode(self) -> Mode:
        """Whose daemon is asked, if not by its socket."""
        if self.session or self.system:
            return Mode.SESSION if self.session else Mode.SYSTEM
        return default_mode()

    @property
    def path(self) -> Path:
        """The socket of the daemon that is asked.

        Raises:
            ConfigError: the session's socket has no place, as XDG_RUNTIME_DIR is not set.
        """
        return self.socket or socket_path(self.mode, read_only=self.read_only)

    def connect(self, timeout_s: float = _TIMEOUT_S) -> Client:
        """Make a client of the daemon that is the command's own, to be entered before it is asked.

        Values travel by sealed memfd, so that no text of a message holds them.

        Raises:
            ConfigError: as of ``path``.
        """
        return _client(self.path, timeout_s)

    @contextmanager
    def asking(self, timeout_s: float = _TIMEOUT_S) -> Iterator[Client]:
        """Lend a client of the daemon, for requests of which each is over before the next: in a shell, the shell's.

        Raises:
            SecretdError: none answers, or not one to trust.
        """
        # What is kept waits as long as usual; who wants to wait otherwise has a connection of his own.
        if self.kept is not None and timeout_s == _TIMEOUT_S:
            yield self.kept.client(self.path, _client)
        else:
            with self.connect(timeout_s) as client:
                yield client

    def call(self, request: Request[ReplyT], timeout_s: float = _TIMEOUT_S) -> ReplyT:
        """Ask the daemon one thing, and wait so long for the answer.

        Raises:
            SecretdError: as the daemon answered, or because none did.
        """
        with self.asking(timeout_s) as client:
            return client.call(request)

    @contextmanager
    def working(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show on a terminal that something takes its time: how far it is, or how long it has been at it.

        Args:
            what: is done, in a few words.
            total: how much there is to do, in any unit; None if nobody knows.

        Yields:
            What is told how much more is done now.
        """
        with no_progress() if self.quiet else progress(what, total) as advance:
            yield advance

    def show(
        self,
        reply: Reply | Sequence[object],
        for_people: Callable[[], str],
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """Write a reply to standard output, as JSON (with ``more``) if that was asked for, else as people want it."""
        output.write_text(output.as_json(reply, more) if self.json else for_people())

    def confirm(self, reply: Reply, said: str, more: Mapping[str, object] = MappingProxyType({})) -> None:
        """Write that a change was made, unless to a person who wants quiet."""
        if self.json or not self.quiet:
            self.show(reply, lambda: f"{said}\n", more)


def _client(path: Path, timeout_s: float = _TIMEOUT_S) -> Client:
    return Client(path, timeout_s=timeout_s, descriptors=True)


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
        settings: as click.Command takes them; ``help`` where a command is told of otherwise than the protocol,
            ``short_help`` where that is too long for a list of commands.
    """

    def decorate(function: Callable[..., None]) -> OperationCommand:
        told = {"help": BY_NAME[operation].help, **settings}
        made = click.command(name, cls=OperationCommand, **told)(click.pass_obj(function))
        made.params.extend(shared_options())
        made.operation = operation
        return made

    return decorate


SHARED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "socket": (
        ("-c", "--connect"),
        {"metavar": "SOCKET", "type": SocketType(), "help": "Ask the daemon that listens on this socket."},
    ),
    "session": (("--session",), {"is_flag": True, "help": "Ask your own daemon."}),
    "system": (("--system",), {"is_flag": True, "help": "Ask the host's daemon."}),
    "read_only": (
        ("-r", "--readonly"),
        {"is_flag": True, "help": "Ask where nothing can be written or revealed."},
    ),
    "json": (("--json",), {"is_flag": True, "help": "Write JSON, for programs."}),
    "quiet": (("-q", "--quiet"), {"is_flag": True, "help": "Leave out what only says that all went well."}),
}
"""The options that stand before or after a command's name, by the attribute of Invocation that each gives."""


def shared_options() -> list[click.Parameter]:
    """Make the options that all commands share."""
    return [
        click.Option([*spellings, name], expose_value=False, callback=_keep, **settings)
        for name, (spellings, settings) in SHARED.items()
    ]


def _keep(context: click.Context, parameter: click.Parameter, given: object) -> None:
    """Add what an option says to what those before it said."""
    if given:
        context.obj = replace(context.obj, **{parameter.name: given})
