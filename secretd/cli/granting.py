"""The commands about grants: add one, list them, show one, remove one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from secretd.cli import inputs, output
from secretd.cli.border import warn
from secretd.cli.grantoptions import described_grant, describing_options
from secretd.cli.invocation import Invocation, command
from secretd.cli.paging import pages
from secretd.cli.parameters import FileType, field_option
from secretd.grantrequests import GrantAdd, GrantList, GrantRemove, GrantShow
from secretd.grants import Grant
from secretd.model import Permission

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

DOCUMENT = """\b
FILE holds a document like this one:
  <grant>
    <name>web</name>
    <principal><unit name='nginx.service'/></principal>
    <allow><permission name='getattr'/><permission name='read-secure'/></allow>
    <scope><usage type='tls' pattern='web/*'/></scope>
  </grant>

\b
The options describe the same without a file:
  grant-add --name web --unit nginx.service --allow getattr,read-secure --usage tls --pattern 'web/*'
"""
"""What the help of the command that takes a grant says at its end."""


@command("grant-add", "grant-add", short_help="Grant somebody something.", epilog=DOCUMENT)
@click.argument("file", required=False, metavar="[FILE]", type=FileType())
@describing_options
@field_option(GrantAdd, "replace", is_flag=True)
def grant_add(invocation: Invocation, *, file: Path | None, replace: bool, **described: Any) -> None:
    """Add a grant, from a file or from what the options say; why it may give nothing is said once it is added."""
    if (file is not None) == any(described.values()):
        raise click.UsageError("give a FILE, or the options that describe the grant, and not both.")
    grant = inputs.read_grant_document(file) if file is not None else described_grant(**described)
    reply = invocation.call(GrantAdd(grant, replace=replace))
    invocation.confirm(reply, f"Grant {grant.name} {'set' if replace else 'added'}")
    for doubt in _doubts(grant):
        warn(doubt)


@command("grant-list", "grant-list")
def grant_list(invocation: Invocation) -> None:
    """List all grants."""
    with invocation.asking() as client:
        grants = [grant for page in pages(client, GrantList()) for grant in page.grants]
    invocation.show(grants, lambda: output.grants_table(grants, datetime.now(UTC), headed=not invocation.quiet))


def _complete_name(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    from secretd.cli.candidates import grants  # noqa: PLC0415  # only who completes pays for it

    return grants(context.obj, begun)


@command("grant-show", "grant-show")
@click.argument("name", metavar="NAME", shell_complete=_complete_name)
def grant_show(invocation: Invocation, name: str) -> None:
    """Print a grant's document."""
    reply = invocation.call(GrantShow(name))
    invocation.show(reply, lambda: output.as_xml(reply.grant))


@command("grant-remove", "grant-remove", short_help="Take a grant back.")
@click.argument("name", metavar="NAME", shell_complete=_complete_name)
def grant_remove(invocation: Invocation, name: str) -> None:
    """Take a grant back."""
    reply = invocation.call(GrantRemove(name))
    invocation.confirm(reply, f"Grant {name} removed")


def _doubts(grant: Grant) -> Iterator[str]:
    """Say why a grant may give nothing, or less than was meant."""
    if grant.permissions == {Permission.SAVE}:
        yield "save permits nothing by itself: another grant has to give append or write"
    if grant.principal.executable is not None:
        yield from _doubts_about(grant.principal.executable.path)


def _doubts_about(path: str) -> Iterator[str]:
    """Say why no process may ever run a file by this name; the daemon itself need not be able to see it."""
    try:
        resolved = os.path.realpath(path, strict=True)
    except (FileNotFoundError, NotADirectoryError):
        yield "the executable is not there, so nobody runs it"
        return
    except OSError:
        return  # whoever may not look there cannot say
    if resolved != path:
        yield f"nobody is known to run a link: name what the executable is a link to, {resolved}"
    elif not Path(path).is_file():
        yield "the executable is no file, so nobody runs it"
