"""secretctl: ask a secretd daemon from the command line.

This module reads the options that all commands share, and is the one border where an error becomes a line on
standard error and an exit status.  Standard output holds the answer and nothing else; the statuses are those
of errors.ExitStatus.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from secretd import __version__
from secretd.cli import attributes, backup, checking, daemon, finding, sealing, values
from secretd.cli.advice import advice_for
from secretd.cli.invocation import Invocation, shared_options
from secretd.cli.output import ReaderGoneError, printable, write_text
from secretd.errors import ExitStatus, SecretdError

_INTERRUPTED = 130
_READER_GONE = 141
"""What a shell says of a process that Ctrl-C or a closed pipe ended: 128 and the number of the signal."""

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
    sealing.seal_status,
    sealing.seal_rotate,
    sealing.seal_retire,
    checking.check,
    checking.store_accept,
    backup.backup,
    backup.restore,
    daemon.whoami,
    daemon.status,
)


@click.group(
    no_args_is_help=False,
    help="Ask a secretd daemon: root's default is the system's, everyone else's their own session's.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@shared_options()
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
def secretctl() -> None:
    """Do nothing but hold the commands; what they share is kept as its options are read."""


@secretctl.command("help", help="Show how secretctl is used, or one of its commands.")
@click.argument("command", metavar="[COMMAND]", required=False)
@click.pass_context
def show_help(context: click.Context, command: str | None) -> None:
    """Show what --help shows, where users of virsh look for it."""
    about = context.find_root()
    if command is not None:
        found = secretctl.get_command(about, command)
        if found is None:
            raise click.UsageError("there is no command of this name.", about)
        about = click.Context(found, info_name=command, parent=about)
    write_text(f"{about.get_help()}\n")


for _command in COMMANDS:
    secretctl.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit status; what went wrong is said on standard error."""
    try:
        secretctl.main(list(arguments), prog_name="secretctl", standalone_mode=False, obj=Invocation())
    except click.Abort:
        return _INTERRUPTED
    except ReaderGoneError:
        return _READER_GONE
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
