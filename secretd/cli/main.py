"""secretctl: ask a secretd daemon from the command line.

This module holds the commands together, and reads the options that all of them share.  Without a command it is
a shell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from secretd import __version__
from secretd.cli import (
    attributes,
    backup,
    checking,
    daemon,
    datakeys,
    events,
    explaining,
    finding,
    granting,
    keyfiles,
    keys,
    keystates,
    lifecycles,
    sealing,
    values,
)
from secretd.cli.border import LeaveShell, run_command
from secretd.cli.completion import completion
from secretd.cli.invocation import Invocation, shared_options
from secretd.cli.naming import Commands
from secretd.cli.output import write_text
from secretd.errors import ExitStatus

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

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
    finding.secret_count,
    finding.secret_info,
    finding.secret_lookup,
    lifecycles.secret_lifecycle,
    lifecycles.secret_archive,
    lifecycles.secret_restore,
    lifecycles.secret_attach,
    lifecycles.secret_detach,
    lifecycles.secret_protect,
    lifecycles.secret_unprotect,
    lifecycles.secret_schedule_deletion,
    lifecycles.secret_cancel_deletion,
    events.secret_event,
    keys.key_create,
    keys.key_list,
    keys.key_describe,
    keys.key_update,
    keys.key_default,
    keyfiles.key_import,
    keyfiles.key_export,
    keystates.key_enable,
    keystates.key_disable,
    keystates.key_rotate,
    keystates.key_archive,
    keystates.key_restore,
    keystates.key_attach,
    keystates.key_detach,
    keystates.key_schedule_deletion,
    keystates.key_cancel_deletion,
    keystates.key_delete,
    datakeys.data_key_generate,
    datakeys.encrypt,
    datakeys.decrypt,
    datakeys.rewrap,
    granting.grant_add,
    granting.grant_list,
    granting.grant_show,
    granting.grant_remove,
    explaining.explain,
    sealing.seal_status,
    sealing.seal_rotate,
    sealing.seal_retire,
    checking.check,
    checking.store_accept,
    backup.backup,
    backup.restore,
    daemon.whoami,
    daemon.status,
    daemon.metrics,
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    help="Ask a secretd daemon: root's default is the system's, everyone else's their own session's. Without a command"
    " this is a shell, which takes commands from the terminal or from a script on standard input.",
    params=shared_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("-k", "--keep-going", is_flag=True, help="Go on with a script after a command that failed.")
@click.version_option(__version__, "--version", message="%(prog)s %(version)s")
@click.pass_context
def secretctl(context: click.Context, keep_going: bool) -> int | None:
    """Hold the commands; what they share is kept as its options are read.  Without one, run the shell."""
    if context.invoked_subcommand is not None:
        return None
    if context.obj.kept is not None:
        raise click.UsageError("Missing command.", context)
    # What only the shell needs is not paid for by a single command.
    from secretd.cli.shell import run_shell  # noqa: PLC0415

    return run_shell(secretctl, context.obj, keep_going=keep_going)


def _complete_command(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    return secretctl.shell_complete(context.find_root(), begun)


@secretctl.command(
    "help", short_help="Show how a command is used.", help="Show how secretctl is used, or one of its commands."
)
@click.argument("command", metavar="[COMMAND]", required=False, shell_complete=_complete_command)
@click.pass_context
def show_help(context: click.Context, command: str | None) -> None:
    """Show what --help shows, where users of virsh look for it."""
    about = context.find_root()
    if command is not None:
        found = secretctl.get_command(about, command)
        if found is None:
            raise secretctl.no_such(about, command)
        about = click.Context(found, info_name=command, parent=about)
    write_text(f"{about.get_help()}\n")


def _leave() -> None:
    """Say so to the shell; outside one there is nothing to leave, as in virsh."""
    raise LeaveShell


for _command in (
    *COMMANDS,
    completion,
    *(click.Command(name, callback=_leave, help="Leave the shell.") for name in ("quit", "exit")),
):
    secretctl.add_command(_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command, or the shell, and give the exit status."""
    try:
        return run_command(secretctl, arguments, Invocation())
    except LeaveShell:
        return ExitStatus.OK


_INSTEAD = {"stdin": (os.O_WRONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_WRONLY, "w")}
"""How /dev/null takes the place of a stream that is closed.

The first two are the wrong way round: who reads a closed input or writes an answer to a closed output gets an error.
"""


def _open_what_is_closed() -> None:
    """Have all three streams; the number of one that is closed would else be that of the next file or socket."""
    for name, (flags, mode) in _INSTEAD.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode))


def main() -> None:
    """Be the program ``secretctl``."""
    _open_what_is_closed()
    sys.exit(run(sys.argv[1:]))
