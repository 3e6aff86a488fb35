"""The shell: commands one after the other, from a person at a terminal or from a script on standard input.

A line is a command as it follows ``secretctl`` elsewhere, its words quoted as for sh; one that begins with ``#`` is
a comment.  All commands share one connection.  What goes wrong with a command ends a script, unless it is to keep
going, but never the shell of a person.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from secretd import __version__
from secretd.cli.border import INTERRUPTED, READER_GONE, LeaveShell, complain, run_command
from secretd.cli.completing import complete_words
from secretd.cli.history import History, harmless_part
from secretd.cli.invocation import Invocation
from secretd.cli.keeping import KeptConnection
from secretd.cli.output import write_text
from secretd.errors import ExitStatus

if TYPE_CHECKING:
    from secretd.cli.editing import LineEditor

_GREETING = f"secretctl {__version__}: help lists the commands, Tab completes a word, quit leaves.\n"

_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_MORE_THAN_WORDS = re.compile("[|;&<>]")
"""What of a line is quoted, and what has a meaning of its own for sh where it is not."""


def run_shell(group: click.Group, invocation: Invocation, *, keep_going: bool) -> int:
    """Run commands until there are no more.

    Args:
        group: the commands there are.
        invocation: what holds for all of them.
        keep_going: whether a script goes on after a command that failed.

    Returns:
        0 for a person; for a script the exit status of the first command that failed.

    Raises:
        click.UsageError: standard input cannot be read.
    """
    with KeptConnection() as kept:
        inside = replace(invocation, kept=kept)
        if sys.stdin.isatty() and sys.stdout.isatty():
            return _converse(group, inside)
        return _run_script(group, inside, keep_going=keep_going)


def _converse(group: click.Group, invocation: Invocation) -> int:
    editor = _editor(group, invocation)
    if not invocation.quiet:
        write_text(_GREETING)
    while True:
        try:
            line = editor.read()
            editor.keep(harmless_part(group, _words(line)))
            _run_line(group, invocation, line)
        except (EOFError, LeaveShell) as end:
            # The terminal's own line is still that of the prompt if Ctrl-D was typed there.
            write_text("\n" if isinstance(end, EOFError) else "")
            return ExitStatus.OK
        except KeyboardInterrupt:
            write_text("\n")
        except UnicodeDecodeError:
            complain("this line is not UTF-8", None)
        except click.UsageError as error:
            complain(error.message, None)


def _run_script(group: click.Group, invocation: Invocation, *, keep_going: bool) -> int:
    first_failure: int = ExitStatus.OK
    for number, line in enumerate(_given_lines(), 1):
        try:
            status = _run_line(group, invocation, line.decode(), f"line {number}: ")
        except LeaveShell:
            break
        except UnicodeDecodeError:
            complain(f"line {number}: this is not UTF-8", None)
            status = ExitStatus.USAGE
        except click.UsageError as error:
            complain(f"line {number}: {error.message}", None)
            status = ExitStatus.USAGE
        first_failure = first_failure or status
        if status in (INTERRUPTED, READER_GONE) or (status and not keep_going):
            break
    return first_failure


def _given_lines() -> Iterator[bytes]:
    try:
        yield from sys.stdin.buffer
    except OSError as error:
        raise click.UsageError(f"cannot read commands from standard input: {error.strerror}.") from None


def _run_line(group: click.Group, invocation: Invocation, line: str, place: str = "") -> int:
    words = _words(line)
    return run_command(group, words, invocation, place) if words else ExitStatus.OK


def _words(line: str) -> list[str]:
    """Take a line apart.

    Raises:
        click.UsageError: a quotation in it has no end, or sh would do more with it than run one command.
    """
    if line.lstrip().startswith("#"):
        return []
    try:
        words = shlex.split(line)
    except ValueError:
        raise click.UsageError("a quotation, or a backslash, has nothing to end it.") from None
    if _MORE_THAN_WORDS.search(_QUOTED.sub("", line)):
        raise click.UsageError(
            "here are no pipes, and no ';', '&', '<' or '>': a line is one command; quote what is meant."
        )
    return words


def _editor(group: click.Group, invocation: Invocation) -> LineEditor:
    try:
        from secretd.cli.editing import LineEditor  # noqa: PLC0415  # a script does not need readline
    except ImportError:
        raise click.ClickException("this Python has no readline, which a shell at a terminal needs") from None
    return LineEditor(partial(complete_words, group, invocation), _history())


def _history() -> History | None:
    try:
        return History()
    except OSError as error:
        complain(f"the history of this shell is not kept: {os.strerror(error.errno or 0)}", None)
        return None
