"""The commands about grants: add one, list them, show one, remove one; and the command that would add one."""

from __future__ import annotations

import grp
import pwd
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from secretd.cli import inputs, output
from secretd.cli.invocation import Invocation, command
from secretd.cli.paging import pages
from secretd.cli.parameters import FileType, UuidType, field_option, on_the_command_line
from secretd.grantrequests import GrantAdd, GrantList, GrantRemove, GrantShow
from secretd.grants import (
    PERMISSIONS_OF,
    EverySecret,
    ExecutableIs,
    Grant,
    PermissionSet,
    Principal,
    PrincipalKind,
    Scope,
    ThatSecret,
    UsageLike,
    parse_time,
)
from secretd.model import Permission, UsageType

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

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_DESCRIBING: dict[str, dict[str, Any]] = {
    "--name": {"help": "The grant's name."},
    "--description": {"help": "What it is for, for people."},
    "--user": {"help": "Who is meant: a user, by name or number."},
    "--group": {"help": "Or a group, by name or number."},
    "--unit": {"help": "Or a service of systemd's."},
    "--anyone": {"is_flag": True, "help": "Or everybody."},
    "--executable": {"metavar": "PATH", "help": "What his process has to run besides."},
    "--sha256": {"metavar": "HEX", "help": "And what that file has to hold."},
    "--allow": {"metavar": "WHAT", "help": "Permissions, with commas between them, or the name of a set of them."},
    "--all": {"is_flag": True, "help": "Which secrets: all."},
    "--secret": {"type": UuidType(), "metavar": "ID", "multiple": True, "help": "Or this one; may be repeated."},
    "--usage": {
        "type": click.Choice([usage.value for usage in UsageType]),
        "help": "Or those with a usage of this type.",
    },
    "--pattern": {"help": "Of these, those whose usage's id it matches: * is anything but /, ** is anything."},
    "--expires": {"metavar": "TIME", "help": "The end of the grant, as 2027-12-31T23:59:59Z."},
}
"""The options that describe a grant, and what click is told of each."""


def _describing_options(function: _Decorated) -> _Decorated:
    for name, settings in reversed(_DESCRIBING.items()):
        function = click.option(name, **settings)(function)
    return function


@command("grant-add", "grant-add", short_help="Grant somebody something.", epilog=DOCUMENT)
@click.argument("file", required=False, metavar="[FILE]", type=FileType())
@_describing_options
@field_option(GrantAdd, "replace", is_flag=True)
def grant_add(invocation: Invocation, *, file: Path | None, replace: bool, **described: Any) -> None:
    """Add a grant, from a file or from what the options say."""
    if (file is not None) == any(described.values()):
        raise click.UsageError("give a FILE, or the options that describe the grant.")
    grant = inputs.read_grant_document(file) if file is not None else _described_grant(**described)
    reply = invocation.call(GrantAdd(grant, replace=replace))
    invocation.confirm(reply, f"Grant {grant.name} added")


@command("grant-list", "grant-list")
def grant_list(invocation: Invocation) -> None:
    """List all grants."""
    with invocation.asking() as client:
        grants = [grant for page in pages(client, GrantList()) for grant in page.grants]
    invocation.show(grants, lambda: output.grants_table(grants, headed=not invocation.quiet))


@command("grant-show", "grant-show")
@click.argument("name", metavar="NAME")
def grant_show(invocation: Invocation, name: str) -> None:
    """Print a grant's document."""
    reply = invocation.call(GrantShow(name))
    invocation.show(reply, lambda: output.as_xml(reply.grant))


@command("grant-remove", "grant-remove", short_help="Take a grant back.")
@click.argument("name", metavar="NAME")
def grant_remove(invocation: Invocation, name: str) -> None:
    """Take a grant back."""
    reply = invocation.call(GrantRemove(name))
    invocation.confirm(reply, f"Grant {name} removed")


# What the options say.


def _described_grant(**said: Any) -> Grant:
    with on_the_command_line("the grant"):
        return Grant(
            said["name"] or "",
            said["description"],
            _principal(said),
            _permissions(said["allow"]),
            tuple(_scopes(said)),
            _expires(said["expires"]),
        )


def _principal(said: dict[str, Any]) -> Principal:
    named = [kind for kind in PrincipalKind if said[kind.value]]
    if len(named) != 1:
        raise click.UsageError("say who is meant: one of --user, --group, --unit and --anyone.")
    if said["sha256"] and not said["executable"]:
        raise click.UsageError("--sha256 is of an --executable.")
    (kind,) = named
    return Principal(
        kind,
        number_of(kind, said[kind.value], f"--{kind.value}") if kind in _NUMBERS else None,
        said["unit"],
        ExecutableIs(said["executable"], said["sha256"]) if said["executable"] else None,
    )


_NUMBERS: dict[PrincipalKind, Callable[[str], int]] = {
    PrincipalKind.USER: lambda name: pwd.getpwnam(name).pw_uid,
    PrincipalKind.GROUP: lambda name: grp.getgrnam(name).gr_gid,
}


def number_of(kind: PrincipalKind, name: str, parameter: str) -> int:
    """Give the number of a user or a group.

    Args:
        kind: which of the two.
        name: his name, or the number itself.
        parameter: what it was given by, for the error.

    Raises:
        click.BadParameter: there is none of this name.
    """
    if name.isdecimal():
        return int(name)
    try:
        return _NUMBERS[kind](name)
    except KeyError:
        raise click.BadParameter(f"there is no {kind.value} of this name.", param_hint=parameter) from None


def _permissions(allow: str | None) -> frozenset[Permission]:
    ready_made = next((known for known in PermissionSet if known.value == allow), None)
    if ready_made is not None:
        return PERMISSIONS_OF[ready_made]
    try:
        return frozenset(map(Permission, (allow or "").split(",")))
    except ValueError:
        known = ", ".join(one.value for one in (*PermissionSet, *Permission))
        raise click.BadParameter(f"it takes these: {known}.", param_hint="--allow") from None


def _scopes(said: dict[str, Any]) -> Iterator[Scope]:
    if said["pattern"] is not None and not said["usage"]:
        raise click.UsageError("--pattern is of a --usage.")
    if said["all"]:
        yield EverySecret()
    secrets: tuple[UUID, ...] = said["secret"]
    yield from map(ThatSecret, secrets)
    if said["usage"]:
        yield UsageLike(UsageType(said["usage"]), said["pattern"])


def _expires(text: str | None) -> datetime | None:
    moment = parse_time(text) if text is not None else None
    if text is not None and moment is None:
        raise click.BadParameter("it is a moment in UTC, as 2027-12-31T23:59:59Z.", param_hint="--expires")
    return moment


# The options that say it.


def command_for(grant: Grant) -> str:
    """Spell the command that adds a grant, for a shell.

    What could steer a terminal is written as an escape, which bash and zsh know.
    """
    words = ("grant-add", "--name", grant.name, *_principal_options(grant.principal), *_rest(grant))
    return " ".join(map(_quoted, words))


def _principal_options(principal: Principal) -> Iterator[str]:
    yield f"--{principal.kind.value}"
    if principal.kind is not PrincipalKind.ANYONE:
        yield principal.unit or str(principal.number)
    if principal.executable is not None:
        yield from ("--executable", principal.executable.path)
        if principal.executable.sha256 is not None:
            yield from ("--sha256", principal.executable.sha256)


def _rest(grant: Grant) -> Iterator[str]:
    yield from ("--allow", ",".join(one.value for one in Permission if one in grant.permissions))
    for scope in grant.scopes:
        match scope:
            case EverySecret():
                yield "--all"
            case ThatSecret():
                yield from ("--secret", str(scope.id))
            case UsageLike():
                yield from ("--usage", scope.type.value)
                if scope.pattern is not None:
                    yield from ("--pattern", scope.pattern)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character.isprintable() and character not in "\\'":
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode())
