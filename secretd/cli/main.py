"""secretctl: ask a secretd daemon from the command line.

This module reads the options that all commands share, and is the one border where an error becomes a line on
standard error and an exit status.  Standard output holds the answer and nothing else; the statuses are those
of errors.ExitStatus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from secretd import __version__
from secretd.cli import attributes, daemon, finding, values
from secretd.cli.advice import advice_for
from secretd.cli.invocation import Invocation
from secretd.cli.output import printable
from secretd.errors import ExitStatus, SecretdError
from secretd.model import Mode

_INTERRUPTED = 130
"""What a shell says of a process that Ctrl-C ended: 128 and the signal's number."""

COMMANDS = (
    attributes.secret_allocate,
    attributes.secret_define,
    attributes.secret_set_xml,
    attributes.secret_dumpxml,
    attributes.secret_undefine,
    values.secret_set_value,
    values.secret_get_value,
    values.secret_generate_value,
    finding.secret_list,
    finding.secret_lookup,
    daemon.whoami,
    daemon.status,
)


@click.group(
    no_args_is_help=False,
    help="Ask a secretd daemon: root's default is the system's, everyone else's their own session's.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-c",
    "--connect",
    metavar="SOCKET",
    type=click.Path(path_type=Path),
    help="Ask the daemon that listens on this socket.",
)
@click.option("--session", "session_mode", is_flag=True, help="Ask your own daemon.")
@click.option("--system", "system_mode", is_flag=True, help="Ask the host's daemon.")
@click.option("-r", "--readonly", is_flag=True, help="Ask where nothing can be written or revealed.")
@click.option("--json", is_flag=True, help="Write JSON, for programs.")
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def secretctl(
    context: click.Context,
    *,
    connect: Path | None,
    session_mode: bool,
    system_mode: bool,
    readonly: bool,
    json: bool,
) -> None:
    """Keep what all commands need."""
    if session_mode + system_mode + (connect is not None) > 1:
        raise click.UsageError("--connect, --session and --system each choose a daemon; give one of them.")
    if connect is not None and readonly:
        raise click.UsageError("give --connect the read-only socket itself, whose name ends in -ro.")
    mode = {session_mode: Mode.SESSION, system_mode: Mode.SYSTEM}.get(True)
    context.obj = Invocation(socket=connect, mode=mode, read_only=readonly, json=json)


for _command in COMMANDS:
    secretctl.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit status; what went wrong is said on standard error."""
    try:
        secretctl.main(list(arguments), prog_name="secretctl", standalone_mode=False)
    except click.Abort:
        return _INTERRUPTED
    except click.ClickException as error:
        _complain(error.format_message(), _usage_advice(error))
        return error.exit_code
    except SecretdError as error:
        _complain(error.message, advice_for(error))
        return error.exit_status
    except OSError as error:
        _complain(os.strerror(error.errno or 0), None)
        return ExitStatus.FAILED
    return ExitStatus.OK


def _usage_advice(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help says more." if context else None


def _complain(message: str, advice: str | None) -> None:
    click.echo(f"error: {printable(message)}", err=True)
    if advice:
        click.echo(advice, err=True)


def main() -> None:
    """Be the program ``secretctl``."""
    sys.exit(run(sys.argv[1:]))
