"""What a word that names something may become: ids, usages, grants, keys; asked from the daemon while one waits.

Nobody waits longer than two seconds, and nothing that goes wrong is said in the middle of a line.  Either all that
fit are given or nothing: of some that fit, a shell would complete what they happen to have in common.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import dropwhile, islice, takewhile
from typing import TypeVar
from uuid import UUID

from click.shell_completion import CompletionItem

from secretd.cli import output
from secretd.cli.invocation import Invocation
from secretd.cli.paging import PageT, pages
from secretd.cli.users import grantable_names
from secretd.errors import SecretdError
from secretd.grantrequests import GrantList
from secretd.grants import Grant, PrincipalKind
from secretd.keyrequests import KeyEntry, KeyList
from secretd.model import UsageType
from secretd.operations import Entry, List, Request

FoundT = TypeVar("FoundT", Entry, Grant, KeyEntry)

_CONNECT_AND_ASK_S = 1.0
"""How long to wait for a connection, and how long for the answers."""

_MOST = 1_000
"""More than anybody reads."""

_LEAST = UUID(int=0)
_GREATEST = UUID(int=2**128 - 1)
_BEGUN = re.compile("[0-9a-f-]*")


def ids(invocation: Invocation, begun: str) -> list[CompletionItem[str]]:
    """Give the ids that begin so, each with what it is for.

    Args:
        invocation: says which daemon is asked.
        begun: the word so far, in either case, with the dashes of a UUID.
    """
    least, greatest = (_completed(begun.lower(), by) for by in (_LEAST, _GREATEST))
    if least is None or greatest is None:
        return []
    # They come in the order of their ids.
    from_least = dropwhile(lambda entry: entry.secret < least, _entries(invocation, List(archived=True)))
    entries = _all(takewhile(lambda entry: entry.secret <= greatest, from_least))
    return [CompletionItem(str(entry.secret), help=output.describe_usage(entry.usage)) for entry in entries]


def usages(invocation: Invocation, usage_type: UsageType, begun: str) -> list[CompletionItem[str]]:
    """Give the usages of a type that begin so, but for those that no line can hold.

    Args:
        invocation: says which daemon is asked.
        usage_type: any but NONE.
        begun: the word so far.
    """
    entries = _all(_entries(invocation, List(usage_type=usage_type, archived=True)))
    names = [entry.usage.id for entry in entries if entry.usage]
    return [CompletionItem(name) for name in names if name.startswith(begun) and name.isprintable()]


def grants(invocation: Invocation, begun: str) -> list[CompletionItem[str]]:
    """Give the names of grants that begin so, each with whom it is for.

    Args:
        invocation: says which daemon is asked.
        begun: the word so far.
    """
    given = (grant for page in _until_late(invocation, GrantList()) for grant in page.grants)
    return [
        CompletionItem(grant.name, help=output.describe_principal(grant.principal))
        for grant in _all(grant for grant in given if grant.name.startswith(begun))
    ]


def keys(invocation: Invocation, begun: str) -> list[CompletionItem[str]]:
    """Give the ids of keys that begin so, also of those that are out of use, each with what it is for.

    Args:
        invocation: says which daemon is asked.
        begun: the word so far.
    """
    listed = (entry for page in _until_late(invocation, KeyList(archived=True)) for entry in page.entries)
    entries = _all(entry for entry in listed if entry.key.startswith(begun))
    return [CompletionItem(entry.key, help=entry.description) for entry in entries]


def accounts(kind: PrincipalKind, begun: str) -> list[CompletionItem[str]]:
    """Give the names of users or groups that begin so, as this host has them.

    Args:
        kind: USER or GROUP.
        begun: the word so far.
    """
    return [CompletionItem(name) for name in grantable_names(kind) if name.startswith(begun)]


def _completed(begun: str, by: UUID) -> UUID | None:
    """Give the id that begins so and goes on as another does; None if no id begins so."""
    shape = str(by)
    completed = begun + shape[len(begun) :]
    fits = _BEGUN.fullmatch(begun) and len(completed) == len(shape)
    dashes_fit = fits and all((char == "-") == (other == "-") for char, other in zip(completed, shape, strict=True))
    return UUID(completed) if dashes_fit else None


def _entries(invocation: Invocation, page: List) -> Iterator[Entry]:
    return (entry for reply in _until_late(invocation, page) for entry in reply.entries)


def _all(found: Iterator[FoundT]) -> list[FoundT]:
    """Take all that are found; nothing if that takes too long or gives too much."""
    try:
        first = list(islice(found, _MOST + 1))
    except (SecretdError, OSError):
        return []
    return first if len(first) <= _MOST else []


def _until_late(invocation: Invocation, page: Request[PageT]) -> Iterator[PageT]:
    with invocation.connect(_CONNECT_AND_ASK_S) as client:
        deadline = time.monotonic() + _CONNECT_AND_ASK_S
        for reply in pages(client, page):
            yield reply
            if reply.truncated and time.monotonic() > deadline:
                raise TimeoutError
