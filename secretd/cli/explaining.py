"""The command that explains what would come of a request: by which grants, or what would have to be granted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from secretd.cli import output
from secretd.cli.border import PROGRAM
from secretd.cli.grantoptions import command_for
from secretd.cli.invocation import Invocation, OperationCommand, command
from secretd.cli.parameters import KEY, PAIR, USAGE_TYPES, UuidType, field_option, on_the_command_line
from secretd.cli.users import groups_of, number_of
from secretd.errors import ExitStatus
from secretd.grantrequests import Explain, Explained, Group
from secretd.grants import PrincipalKind
from secretd.keys import ContextPair
from secretd.model import Usage
from secretd.operations import BY_NAME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class OperationType(click.Choice[str]):
    """The name of an operation."""

    def __init__(self) -> None:
        super().__init__(list(BY_NAME))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take the name of a command too, for the operation that it stands for."""
        group = ctx.find_root().command if ctx else None
        named = group.commands.get(value) if isinstance(group, click.Group) else None
        return super().convert(named.operation if isinstance(named, OperationCommand) else value, param, ctx)


def _complete_object(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  # only who completes pays for it

    from secretd.cli.candidates import ids, usages  # noqa: PLC0415

    before = (context.params["about"] or ("",))[-1]
    if before in USAGE_TYPES:
        return usages(context.obj, USAGE_TYPES[before], begun)
    return [CompletionItem(name) for name in USAGE_TYPES if name.startswith(begun)] or ids(context.obj, begun)


@command("explain", "explain", short_help="Say what would come of a request, and why.")
@click.argument("operation", metavar="OPERATION", type=OperationType())
@click.argument("about", metavar="[OBJECT]...", nargs=-1, shell_complete=_complete_object)
@click.option(
    "--as",
    "who",
    metavar="WHO",
    multiple=True,
    required=True,
    help="Who asks: user:NAME, group:NAME or unit:NAME.service; of a user, his groups too. May be repeated.",
)
@field_option(Explain, "key", **KEY)
@click.option("--key-tag", "tags", **PAIR, help="A tag that the key would have; may be repeated.")
@field_option(Explain, "executable", metavar="PATH")
@field_option(Explain, "sha256", metavar="HEX")
@click.option("--as-readonly", is_flag=True, help="Whether his connection is read-only.")
@field_option(Explain, "ephemeral", is_flag=True, default=None)
def explain(
    invocation: Invocation,
    *,
    operation: str,
    about: Sequence[str],
    who: Sequence[str],
    as_readonly: bool,
    tags: Sequence[tuple[str, str]],
    **described: Any,
) -> None:
    """Explain a request; the exit status says what would come of it."""
    if described["sha256"] and not described["executable"]:
        raise click.UsageError("--sha256 is of an --executable.")
    secret, usage = _object(about)
    of_key = tuple(ContextPair(name, text) for name, text in tags)
    reply = invocation.call(
        Explain(operation, secret, usage, tags=of_key, read_only=as_readonly, **_caller(who), **described)
    )
    invocation.show(reply, lambda: _explained(reply, invocation))
    if not reply.allowed:
        raise click.exceptions.Exit(ExitStatus.REFUSED)


def _object(words: Sequence[str]) -> tuple[UUID | None, Usage | None]:
    """Read which secret is meant: an id, the type and id of a usage, or both."""
    secret = None
    if len(words) in (1, 3):
        secret, words = UuidType().convert(words[0], None, click.get_current_context()), words[1:]
    if not words:
        return secret, None
    if len(words) > 2 or words[0] not in USAGE_TYPES:
        raise click.UsageError("an OBJECT is the id of a secret, or the type and the id of its usage.")
    with on_the_command_line("OBJECT"):
        return secret, Usage(USAGE_TYPES[words[0]], words[1])


# Who asks.


def _caller(who: Sequence[str]) -> dict[str, Any]:
    """Read who is meant: the fields of Explain that describe him."""
    named: dict[str, list[str]] = {"user": [], "group": [], "unit": []}
    for word in who:
        kind, _, name = word.partition(":")
        if kind not in named or not name:
            raise click.BadParameter("it is user:NAME, group:NAME or unit:NAME.service.", param_hint="--as")
        named[kind].append(name)
    if len(named["user"]) > 1 or len(named["unit"]) > 1:
        raise click.UsageError("who asks is one user at most, and of one unit.")
    uid, gid, groups = _user(named["user"][0]) if named["user"] else (None, None, [])
    groups += [number_of(PrincipalKind.GROUP, name, "--as") for name in named["group"]]
    unit = next(iter(named["unit"]), None)
    return {"uid": uid, "gid": gid, "groups": tuple(map(Group, dict.fromkeys(groups))), "unit": unit}


def _user(name: str) -> tuple[int, int | None, list[int]]:
    """Give the ids of a process that a user starts himself: his own, his group's, and those of all that he is in."""
    uid = number_of(PrincipalKind.USER, name, "--as")
    return uid, *groups_of(uid)


# What would come of it.


def _explained(reply: Explained, invocation: Invocation) -> str:
    return "".join(_parts(reply, invocation))


def _parts(reply: Explained, invocation: Invocation) -> Iterator[str]:
    yield "Allowed\n" if reply.allowed else f"Refused, {reply.code}: {output.printable(reply.message or '')}\n"
    yield output.needs_table(reply.needs, headed=not invocation.quiet)
    if reply.grants:
        yield "To allow it:\n"
    # In a shell of secretctl's own its commands have no other name.
    program = "" if invocation.kept else f"{PROGRAM} "
    for grant in reply.grants:
        yield f"{program}{command_for(grant)}\n"
