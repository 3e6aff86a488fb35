"""What the operations on grants take and give; their rows are in secretd.operations, with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from secretd import limits
from secretd.fields import Help
from secretd.grants import Grant
from secretd.requests import Reply, Request


@dataclass(frozen=True, slots=True)
class GrantAdded(Reply):
    """The reply to a grant that was given."""


@dataclass(frozen=True, slots=True)
class GrantAdd(Request[GrantAdded]):
    """Grant somebody something, from the next request of every connection on."""

    grant: Annotated[Grant, Help("the grant")]
    replace: Annotated[bool, Help("in the place of one that has its name, if there is one")] = False


@dataclass(frozen=True, slots=True)
class GrantsListed(Reply):
    """A page of the grants."""

    grants: Annotated[tuple[Grant, ...], Help("the grants, in the order of their names")]
    truncated: Annotated[bool, Help("whether there is more")]
    next_marker: Annotated[str | None, Help("where the next page starts, if there is more")] = None


@dataclass(frozen=True, slots=True)
class GrantList(Request[GrantsListed]):
    """List all grants."""

    limit: Annotated[int, Help("at most so many", 1, limits.GRANTS)] = int(limits.GRANTS)
    marker: Annotated[str | None, Help("the next marker of the page before")] = None


@dataclass(frozen=True, slots=True)
class GrantShown(Reply):
    """A grant."""

    grant: Annotated[Grant, Help("the grant")]


@dataclass(frozen=True, slots=True)
class GrantShow(Request[GrantShown]):
    """Show a grant."""

    name: Annotated[str, Help("the grant's name")]


@dataclass(frozen=True, slots=True)
class GrantRemoved(Reply):
    """The reply to a grant that was taken back."""


@dataclass(frozen=True, slots=True)
class GrantRemove(Request[GrantRemoved]):
    """Take a grant back, from the next request of every connection on."""

    name: Annotated[str, Help("the grant's name")]
