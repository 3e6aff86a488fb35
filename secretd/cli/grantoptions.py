"""The options that describe a grant: read, and spelt."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import click

from secretd.cli.parameters import KEY, PAIR, UuidType, on_the_command_line
from secretd.cli.users import number_of
from secretd.grants import (
    PERMISSIONS_OF,
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import KeyId, Tag
from secretd.model import Permission, UsageType
from secretd.moments import parse_time

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_PERMITTED: Mapping[str, frozenset[Permission]] = {
    **{ready_made.value: permissions for ready_made, permissions in PERMISSIONS_OF.items()},
    **{permission.value: frozenset({permission}) for permission in Permission},
}
"""What each word permits that --allow takes."""


def _complete_account(_context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    from secretd.cli.candidates import accounts  # noqa: PLC0415  # only who completes pays for it

    return accounts(PrincipalKind(parameter.name), begun)


def _complete_allow(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem  # noqa: PLC0415  # only who completes pays for it

    before, comma, last = begun.rpartition(",")
    given = before.split(",")
    words = [word for word in _PERMITTED if word.startswith(last) and word not in given]
    return [CompletionItem(f"{before}{comma}{word}") for word in words]


def _once(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Take what was given once; of two, click by itself would keep the last and say nothing of the other."""
    if len(given) > 1:
        raise click.BadParameter("it is given once at most; more than that takes a FILE.", context, parameter)
    return given[0] if given else None


_DESCRIBING: dict[str, dict[str, Any]] = {
    "--name": {"help": "The grant's name."},
    "--description": {"help": "What it is for, for people."},
    "--user": {"help": "Who is meant: a user, by name or number.", "shell_complete": _complete_account},
    "--group": {"help": "Or a group, by name or number.", "shell_complete": _complete_account},
    "--unit": {"help": "Or a service of systemd's."},
    "--anyone": {"is_flag": True, "help": "Or everybody."},
    "--executable": {"metavar": "PATH", "help": "What his process has to run besides."},
    "--sha256": {"metavar": "HEX", "help": "And what that file has to hold."},
    "--allow": {
        "metavar": "WHAT",
        "help": "Permissions, or the names of sets of them, with commas between.",
        "shell_complete": _complete_allow,
    },
    "--all": {"is_flag": True, "help": "Which secrets: all."},
    "--secret": {"type": UuidType(), "metavar": "ID", "multiple": True, "help": "Or this one; may be repeated."},
    "--usage": {
        "type": click.Choice([usage.value for usage in UsageType]),
        "help": "Or those with a usage of this type.",
    },
    "--pattern": {"help": "Of these, those whose usage's id it matches: * is anything but /, ** is anything."},
    "--keys": {"is_flag": True, "help": "Which keys: all."},
    "--key": {**KEY, "multiple": True, "help": "Or this one; may be repeated."},
    "--key-pattern": {
        "metavar": "PATTERN",
        "multiple": True,
        "help": "Or those whose id it matches: * is anything; may be repeated.",
    },
    "--key-tag": {**PAIR, "help": "Or those with this tag; may be repeated."},
    "--expires": {"metavar": "TIME", "help": "The end of the grant, as 2027-12-31T23:59:59Z."},
}
"""The options that describe a grant, and what click is told of each."""


def describing_options(function: _Decorated) -> _Decorated:
    """Give a command the options that describe a grant."""
    for name, settings in reversed(_DESCRIBING.items()):
        as_it_is = settings.get("is_flag") or settings.get("multiple")
        once = settings if as_it_is else {**settings, "multiple": True, "callback": _once}
        function = click.option(name, **once)(function)
    return function


# What they say.


_NEEDED: Mapping[tuple[str, ...], str] = {
    ("name",): "name the grant: --name.",
    ("user", "group", "unit", "anyone"): "say who is meant: one of --user, --group, --unit and --anyone.",
    ("allow",): "say what is permitted: --allow.",
    ("all", "secret", "usage", "pattern", "keys", "key", "key_pattern", "key_tag"): (
        "say which secrets or keys: --all, --secret or --usage, --keys, --key, --key-pattern or --key-tag."
    ),
}
"""Options of which one at least has to be given, and what is said if none is."""


def described_grant(**said: Any) -> Grant:
    """Make the grant that the options describe.

    Raises:
        click.UsageError: they describe none.
    """
    for names, demand in _NEEDED.items():
        if not any(said[name] for name in names):
            raise click.UsageError(demand)
    with on_the_command_line("the grant"):
        return Grant(
            said["name"],
            said["description"],
            _principal(said),
            _permissions(said["allow"]),
            tuple(_scopes(said)),
            _expires(said["expires"]),
        )


def _principal(said: dict[str, Any]) -> Principal:
    named = [kind for kind in PrincipalKind if said[kind.value]]
    if len(named) != 1:
        raise click.UsageError("a grant is for one alone: give one of --user, --group, --unit and --anyone.")
    if said["sha256"] and not said["executable"]:
        raise click.UsageError("--sha256 is of an --executable.")
    (kind,) = named
    numbered = kind in (PrincipalKind.USER, PrincipalKind.GROUP)
    return Principal(
        kind,
        number_of(kind, said[kind.value], f"--{kind.value}") if numbered else None,
        said["unit"],
        ExecutableIs(said["executable"], said["sha256"]) if said["executable"] else None,
    )


def _permissions(allow: str) -> frozenset[Permission]:
    permitted: set[Permission] = set()
    for number, word in enumerate(allow.split(","), 1):
        if word.strip() not in _PERMITTED:
            known = ", ".join(_PERMITTED)
            raise click.BadParameter(f"its word {number} is none of these: {known}.", param_hint="--allow")
        permitted |= _PERMITTED[word.strip()]
    return frozenset(permitted)


def _scopes(said: dict[str, Any]) -> Iterator[Scope]:
    if said["pattern"] is not None and not said["usage"]:
        raise click.UsageError("--pattern is of a --usage.")
    if said["all"]:
        yield EverySecret()
    secrets: tuple[UUID, ...] = said["secret"]
    yield from map(ThatSecret, secrets)
    if said["usage"]:
        yield UsageLike(UsageType(said["usage"]), said["pattern"])
    yield from _key_scopes(said)


def _key_scopes(said: dict[str, Any]) -> Iterator[Scope]:
    if said["keys"]:
        yield EveryKey()
    keys: tuple[KeyId, ...] = said["key"]
    yield from map(ThatKey, keys)
    yield from map(KeyLike, said["key_pattern"])
    yield from (KeyTagged(Tag(name, text)) for name, text in said["key_tag"])


def _expires(text: str | None) -> datetime | None:
    moment = parse_time(text) if text is not None else None
    if text is not None and moment is None:
        raise click.BadParameter("it is a moment in UTC, as 2027-12-31T23:59:59Z.", param_hint="--expires")
    return moment


# What says it.


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
            case EveryKey():
                yield "--keys"
            case ThatKey():
                yield from ("--key", scope.id)
            case KeyLike():
                yield from ("--key-pattern", scope.pattern)
            case KeyTagged():
                yield from ("--key-tag", f"{scope.tag.name}={scope.tag.text}")


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def _escaped(character: str) -> str:
    if character.isprintable() and character not in "\\'":
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode())
