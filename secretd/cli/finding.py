"""The commands that find secrets: list, count, and lookup by id and by usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from secretd.cli import output
from secretd.cli.invocation import Invocation, command
from secretd.cli.paging import pages
from secretd.cli.parameters import USAGE_TYPES, field_option, on_the_command_line, secret_argument
from secretd.errors import StoreCorruptError
from secretd.model import Usage, UsageType
from secretd.operations import Count, List, LookupById, LookupByUsage

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_FILTERS = {
    "--ephemeral": "Only those that are kept in memory only.",
    "--no-ephemeral": "Only those that are not.",
    "--private": "Only those whose value is revealed to no ordinary caller.",
    "--no-private": "Only those that are not.",
}
"""virsh's pairs of filters, and the help of each."""


def _filter_options(function: _Decorated) -> _Decorated:
    for name, help_text in reversed(_FILTERS.items()):
        function = click.option(name, is_flag=True, help=help_text)(function)
    return function


def _archived_option(request: type[List | Count]) -> Callable[[_Decorated], _Decorated]:
    return field_option(request, "archived", is_flag=True)


@command("secret-list", "list")
@_filter_options
@_archived_option(List)
@field_option(List, "usage_type", type=click.Choice([usage.value for usage in UsageType]))
@click.option("--long", is_flag=True, help="Show what else a list tells of each: value, ephemeral and private.")
def secret_list(
    invocation: Invocation,
    *,
    ephemeral: bool,
    no_ephemeral: bool,
    private: bool,
    no_private: bool,
    usage_type: str | None,
    archived: bool,
    long: bool,
) -> None:
    """List all secrets that fit."""
    first_page = List(
        ephemeral=_wanted(ephemeral, no_ephemeral),
        private=_wanted(private, no_private),
        usage_type=UsageType(usage_type) if usage_type else None,
        archived=archived,
    )
    with invocation.asking() as client:
        listed = list(pages(client, first_page))
    entries = [entry for page in listed for entry in page.entries]
    invocation.show(
        entries, lambda: output.entries_table(entries, long=long, states=archived, headed=not invocation.quiet)
    )
    damaged = sum(page.damaged or 0 for page in listed)
    if damaged:
        raise StoreCorruptError(f"not listed, as they do not open: {damaged}; 'secretctl check' names them")


@command("secret-count", "count")
@_filter_options
@_archived_option(Count)
def secret_count(
    invocation: Invocation, *, ephemeral: bool, no_ephemeral: bool, private: bool, no_private: bool, archived: bool
) -> None:
    """Print how many secrets fit."""
    reply = invocation.call(Count(_wanted(ephemeral, no_ephemeral), _wanted(private, no_private), archived))
    invocation.show(reply, lambda: f"{reply.secrets}\n")


def _wanted(those: bool, others: bool) -> bool | None:
    """Read a pair of virsh's filters: both together, or neither, let all pass."""
    return None if those == others else those


@command("secret-info", "lookup-by-id")
@secret_argument
def secret_info(invocation: Invocation, secret: UUID) -> None:
    """Show what a list tells of a secret."""
    reply = invocation.call(LookupById(secret))
    invocation.show(reply, lambda: output.entry_table(reply))


def _complete_usage(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    from secretd.cli.candidates import usages  # noqa: PLC0415  # only who completes pays for it

    usage_type = USAGE_TYPES.get(context.params["usage_type"])
    return usages(context.obj, usage_type, begun) if usage_type else []


@command("secret-lookup", "lookup-by-usage")
@click.argument("usage_type", metavar="TYPE", type=click.Choice(list(USAGE_TYPES)))
@click.argument("usage_id", metavar="USAGE-ID", shell_complete=_complete_usage)
def secret_lookup(invocation: Invocation, usage_type: str, usage_id: str) -> None:
    """Find a secret by its usage."""
    with on_the_command_line("USAGE-ID"):
        usage = Usage(USAGE_TYPES[usage_type], usage_id)
    reply = invocation.call(LookupByUsage(usage))
    invocation.show(reply, lambda: f"{reply.secret}\n")
