"""The one border where a command's error becomes lines on standard error and an exit status.

Standard output holds the answer and nothing else; the statuses are those of errors.ExitStatus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from secretd.cli.advice import advice_for
from secretd.cli.colours import alarming
from secretd.cli.invocation import Invocation
from secretd.cli.output import ReaderGoneError, printable
from secretd.errors import ExitStatus, SecretdError

INTERRUPTED = 130
READER_GONE = 141
"""What a shell says of a process that Ctrl-C or a closed pipe ended: 128 and the number of the signal."""

PROGRAM = "secretctl"


class LeaveShell(Exception):  # noqa: N818  # nothing went wrong
    """The shell is to be left, where there is one."""


def run_command(group: click.Group, words: Sequence[str], invocation: Invocation, place: str = "") -> int:
    """Run one command and give its exit status; what went wrong is said on standard error.

    Args:
        group: the commands there are.
        words: the command's name, its options and arguments.
        invocation: what is already known of how to run it.
        place: where the command stands, for the message, with what parts it from the rest; or nothing.
    """
    program = "" if invocation.kept else PROGRAM
    try:
        return group.main(list(words), prog_name=program, standalone_mode=False, obj=invocation) or ExitStatus.OK
    except click.Abort:
        return INTERRUPTED
    except ReaderGoneError:
        return READER_GONE
    except click.ClickException as error:
        complain(place + _on_one_line(error.format_message()), _usage_advice(error))
        return error.exit_code
    except SecretdError as error:
        command = next((word for word in words if word in group.commands), None)
        complain(place + error.message, spoken_in(invocation, advice_for(error, command)))
        return error.exit_status
    except OSError as error:
        complain(place + os.strerror(error.errno or 0), None)
        return ExitStatus.FAILED


def complain(message: str, advice: str | None) -> None:
    """Say on standard error what went wrong and, where there is something to say, what can be done about it."""
    click.echo(f"{alarming('error:', sys.stderr)} {printable(message)}", err=True, color=True)
    if advice:
        click.echo(advice, err=True)


def warn(message: str) -> None:
    """Say on standard error what is not as it was perhaps meant."""
    click.echo(f"{alarming('warning:', sys.stderr)} {printable(message)}", err=True, color=True)


def _on_one_line(message: str) -> str:
    """Take back the lines that click breaks a list of choices into."""
    return message.replace("\n\t", " ")


def _usage_advice(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return None
    # In a shell the program itself has no name.
    return f"{context.command_path} --help says more." if context.command_path else "help says more."


def spoken_in(invocation: Invocation, advice: str | None) -> str | None:
    """Name commands as they are typed where the advice is read: in a shell without the program's name."""
    return advice.replace(f"{PROGRAM} ", "") if advice and invocation.kept else advice
