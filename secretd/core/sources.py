"""By what a caller holds a permission: by the owner's right, or by which grants.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from time import time

from secretd import limits
from secretd.core.access import Access, AnyTarget
from secretd.core.grantstore import Grants
from secretd.grantrequests import Held, NamedGrant
from secretd.model import Caller, Permission


@dataclass(frozen=True, slots=True)
class Source:
    """By what a permission is held, or would be but for the kind of the connection: by nothing, if all is empty.

    Attributes:
        owner: it is the owner's right; then no grant counts.
        grants: those that give it, or the first of many.
    """

    owner: bool = False
    grants: tuple[NamedGrant, ...] = ()

    def __bool__(self) -> bool:
        return self.owner or bool(self.grants)


class Sources:
    """Says by what permissions are held: of one mind with Access, and slower."""

    def __init__(self, access: Access, grants: Grants) -> None:
        self._access = access
        self._grants = grants

    def of(self, caller: Caller, permission: Permission, target: AnyTarget) -> Source:
        """Say by what the caller holds a permission: for the target, for all, or with None for something."""
        if not self._access.allows(replace(caller, read_only=False), permission, target):
            return Source()
        return self._of_what_is_held(caller, permission, target)

    def held(self, caller: Caller) -> tuple[Held, ...]:
        """List what the caller holds for something, and by what."""
        held = ((one, self._of_what_is_held(caller, one, None)) for one in self._access.held(caller))
        return tuple(Held(permission, source.owner, source.grants) for permission, source in held)

    def _of_what_is_held(self, caller: Caller, permission: Permission, target: AnyTarget) -> Source:
        if self._access.owns(caller, permission, target):
            return Source(owner=True)
        granting = self._grants.rules.granting(caller, permission, target, time())
        return Source(grants=tuple(NamedGrant(grant.name) for grant in islice(granting, limits.GRANTS_NAMED)))
