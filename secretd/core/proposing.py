"""What would have to be granted: grants that give what is lacking, and as little more as grants can say.

Pure: no clock, no store.  A usage is named by its type and id, where a pattern can mean that one id alone; else a
secret by its own id.  A secret that is still to be made has none; then the scope is the least that reaches it.  A key
is named by its id, and one that is still to get one by a tag.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count

from secretd.core.access import KeyTarget, Target
from secretd.core.patterns import has_stars
from secretd.grantrequests import Explain
from secretd.grants import (
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
    is_interpreter,
    is_plain,
)
from secretd.model import Permission, UsageType


@dataclass(frozen=True, slots=True)
class Lack:
    """A permission that is not held.

    Attributes:
        permission: which; any will do, if it is None.
        target: on which secret or key; None for something.
        keeps_id: the secret is there, or will be made under this id.
        something: the scope of all that something could be.
    """

    permission: Permission | None
    target: Target | KeyTarget | None
    keeps_id: bool
    something: EverySecret | EveryKey


def proposed(name: str, principal: Principal, lacks: Iterable[Lack], taken: Collection[str]) -> Iterator[Grant]:
    """Make the grants that give what is lacking, one for each scope.

    Args:
        name: what they are called, with a number if that is taken.
        principal: whom they are for.
        lacks: what they give.
        taken: the names of the grants that there are.
    """
    by_scope: dict[Scope, set[Permission]] = {}
    for lack in lacks:
        # Of itself it shows nothing: a list has what one may getattr.
        by_scope.setdefault(_least_scope(lack), set()).add(lack.permission or Permission.SEARCH)
    names = (one for one in chain([name], (f"{name}-{number}" for number in count(2))) if one not in taken)
    for (scope, permissions), free in zip(by_scope.items(), names, strict=False):  # of names there is no end
        yield Grant(free, None, principal, frozenset(permissions), (scope,))


def principal_of(request: Explain) -> Principal:
    """Give whom a grant would be for: the unit, else the user, else the group that is named first.

    Raises:
        InvalidDocumentError: no grant can be for whom the request names.
    """
    executable = None
    if request.executable is not None and not is_interpreter(request.executable):
        executable = ExecutableIs(request.executable, request.sha256)
    if request.unit is not None:
        return Principal(PrincipalKind.UNIT, unit=request.unit, executable=executable)
    if request.uid is not None:
        return Principal(PrincipalKind.USER, request.uid, executable=executable)
    group = request.groups[0].gid if request.gid is None else request.gid
    return Principal(PrincipalKind.GROUP, group, executable=executable)


def _least_scope(lack: Lack) -> Scope:
    if lack.target is None:
        return lack.something
    if isinstance(lack.target, KeyTarget):
        return _least_key_scope(lack.target)
    usage = lack.target.attributes.usage
    if usage is not None and not has_stars(usage.id) and is_plain(usage.type, usage.id):
        return UsageLike(usage.type, usage.id)
    if lack.keeps_id and lack.target.secret is not None:
        return ThatSecret(lack.target.secret)
    if usage is None:
        return UsageLike(UsageType.NONE)
    # A star matches itself, and more.
    return UsageLike(usage.type, usage.id if is_plain(usage.type, usage.id) else None)


def _least_key_scope(target: KeyTarget) -> Scope:
    if target.id is not None:
        return ThatKey(target.id)
    return KeyTagged(min(target.tags)) if target.tags else EveryKey()
