"""What the operations on grants take and give, and how it is said what comes of grants for a caller.

Their rows are in secretd.operations, with all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated
from uuid import UUID

from secretd import limits
from secretd.fields import Help
from secretd.grants import LARGEST_ID, Grant
from secretd.keys import ContextPair, KeyId
from secretd.model import Permission, Usage
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


# What comes of them.


@dataclass(frozen=True, slots=True)
class Group:
    """One of a caller's groups."""

    gid: Annotated[int, Help("the group's id", 0)]


@dataclass(frozen=True, slots=True)
class NamedGrant:
    """A grant, by its name alone."""

    name: Annotated[str, Help("the grant's name")]


@dataclass(frozen=True, slots=True)
class Held:
    """One permission that a caller holds for something."""

    name: Annotated[Permission, Help("the permission")]
    owner: Annotated[bool, Help("whether it is held by the owner's right, which needs no grant")] = False
    grants: Annotated[tuple[NamedGrant, ...], Help("the grants of this caller that give it, or the first of many")] = ()


class NeededOn(Enum):
    """On what a permission is needed."""

    SOMETHING = "something"
    AS_IT_IS = "as-it-is"
    AS_IT_WOULD_BE = "as-it-would-be"
    KEY_AS_IT_IS = "key-as-it-is"
    KEY_AS_IT_WOULD_BE = "key-as-it-would-be"


@dataclass(frozen=True, slots=True)
class Need:
    """One permission that a request needs."""

    on: Annotated[
        NeededOn, Help("on anything at all, or on the secret, or the key, as it is or as it would be afterwards")
    ]
    held: Annotated[bool, Help("whether the caller holds it")]
    owner: Annotated[bool, Help("whether it is the owner's right, which needs no grant")]
    name: Annotated[Permission | None, Help("the permission; any will do if none is named")] = None
    grants: Annotated[
        tuple[NamedGrant, ...],
        Help("the grants that give it, or the first of many, though a read-only connection may bar it"),
    ] = ()


@dataclass(frozen=True, slots=True)
class Explained(Reply):
    """What would come of a request, and by what."""

    allowed: Annotated[bool, Help("whether it would be done")]
    code: Annotated[str | None, Help("else the code of the error that the caller would be answered with")] = None
    message: Annotated[str | None, Help("and its text")] = None
    needs: Annotated[tuple[Need, ...], Help("the permissions that the request needs")] = ()
    grants: Annotated[
        tuple[Grant, ...], Help("what would have to be granted so that it would be done, and as little more as can be")
    ] = ()


@dataclass(frozen=True, slots=True)
class Explain(Request[Explained]):
    """Say what would come of a request of somebody's, by which grants, or what would have to be granted."""

    operation: Annotated[str, Help("the operation's name")]
    secret: Annotated[UUID | None, Help("the secret, if the operation is about one")] = None
    usage: Annotated[
        Usage | None, Help("or its usage; beside the secret, and of one that is not there: as it would be afterwards")
    ] = None
    key: Annotated[KeyId | None, Help("the key, if the operation is about one; else the default key, or a new one")] = (
        None
    )
    tags: Annotated[tuple[ContextPair, ...], Help("the tags that the key would have afterwards; else as they are")] = ()
    ephemeral: Annotated[bool | None, Help("whether it would be ephemeral afterwards; else as it is")] = None
    uid: Annotated[int | None, Help("who asks: user id", 0, LARGEST_ID)] = None
    gid: Annotated[int | None, Help("his group", 0, LARGEST_ID)] = None
    groups: Annotated[tuple[Group, ...], Help("his supplementary groups")] = ()
    unit: Annotated[str | None, Help("the system service that his process belongs to")] = None
    executable: Annotated[
        str | None, Help("the path of the file that his process runs, which nobody but root can change")
    ] = None
    sha256: Annotated[str | None, Help("what that file holds")] = None
    read_only: Annotated[bool, Help("whether his connection is read-only")] = False
