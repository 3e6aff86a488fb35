"""Users and groups of this host, as grants name them: by number, and at the command line by name too.

Nobody but this module asks the host for them.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import click

from secretd.grants import PrincipalKind

_NUMBERS: Mapping[PrincipalKind, Callable[[str], int]] = MappingProxyType(
    {
        PrincipalKind.USER: lambda name: pwd.getpwnam(name).pw_uid,
        PrincipalKind.GROUP: lambda name: grp.getgrnam(name).gr_gid,
    }
)
_NAMES: Mapping[PrincipalKind, Callable[[int], str]] = MappingProxyType(
    {
        PrincipalKind.USER: lambda number: pwd.getpwuid(number).pw_name,
        PrincipalKind.GROUP: lambda number: grp.getgrgid(number).gr_name,
    }
)


def number_of(kind: PrincipalKind, name: str, parameter: str) -> int:
    """Give the number of a user or a group.

    Args:
        kind: USER or GROUP.
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


@cache
def describe_account(kind: PrincipalKind, number: int) -> str:
    """Say which user or group has a number: with the name, if there is one; ``www-data (33)``."""
    try:
        return f"{_NAMES[kind](number)} ({number})"
    except KeyError:
        return str(number)


def groups_of(uid: int) -> tuple[int | None, list[int]]:
    """Give the primary group of a user, and all that he is in; none, if there is no such user."""
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return None, []
    return account.pw_gid, os.getgrouplist(account.pw_name, account.pw_gid)


def grantable_names(kind: PrincipalKind) -> list[str]:
    """Give the names of all users or groups, in their order, but for a user who is root: he can be given nothing.

    Args:
        kind: USER or GROUP.
    """
    if kind is PrincipalKind.USER:
        return sorted({user.pw_name for user in pwd.getpwall() if user.pw_uid})
    return sorted({group.gr_name for group in grp.getgrall()})
