"""Who may do what: the one place that authorises, in two steps.

First, before a document is parsed, a caller must hold the permission for something (``admit``); then, once
the object is resolved, for that object (``require``, ``allows``).  What a connection's kind forbids is
decided before any policy is asked: a read-only connection never writes and never has a value revealed.

The policy is: in session mode the user himself may do everything, and in system mode root, and others what was
granted to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from time import time
from typing import Protocol, final
from uuid import UUID

from secretd.errors import AccessDeniedError, NotAuthenticatedError, ReadOnlyError
from secretd.keys import KeyId, Tag
from secretd.model import Attributes, Caller, Mode, Permission

READ_ONLY_PERMISSIONS = frozenset({Permission.SEARCH, Permission.GETATTR, Permission.READ})
"""All that a ``-ro`` socket can ever give. Source: CVE-2019-10161 shows what comes of more."""


@final
@dataclass(frozen=True, slots=True)
class Target:
    """The object a permission is asked for: a secret as it is, or as it would be after a change.

    Attributes:
        secret: its id; None for whichever it is, and then no grant counts that names it by that.
        attributes: what else is known of it.
    """

    secret: UUID | None
    attributes: Attributes


@final
@dataclass(frozen=True, slots=True)
class KeyTarget:
    """The same of a key.

    Attributes:
        id: its id; None for whichever it is, and then no grant counts that names it by that, alone or by a pattern: so
            a key whose id the daemon will make is reached by the grants for every key and for its tags alone.
        tags: of the key as it is, or as it would be.
    """

    id: KeyId | None
    tags: frozenset[Tag]


class Everything(Enum):
    """Stands for a target: every secret there is or will be."""

    EVERYTHING = auto()


EVERYTHING = Everything.EVERYTHING

AnyTarget = Target | KeyTarget | Everything | None
"""What a permission is asked for: a secret, a key, every secret, or where it is None anything at all."""

Policy = Callable[[Caller, Permission, AnyTarget], bool]
"""Whether a caller holds a permission for that."""


class GrantRules(Protocol):
    """What grants say; core/matching.py has it."""

    def allows(self, caller: Caller, permission: Permission, target: AnyTarget, now: float) -> bool:
        """Whether a caller holds a permission, at a moment in seconds since 1970."""


def owner_only(mode: Mode, daemon_uid: int) -> Policy:
    """Make the default policy: everything to the daemon's own user (session) or to root (system)."""
    owner = 0 if mode is Mode.SYSTEM else daemon_uid

    def policy(caller: Caller, permission: Permission, target: AnyTarget) -> bool:  # noqa: ARG001
        return caller.uid == owner

    return policy


def granted(owner: Policy, rules: Callable[[], GrantRules]) -> Policy:
    """Make the policy of a daemon that has grants: the owner may do everything, and others what is granted to them.

    Args:
        owner: who needs no grant, and so cannot be locked out by one.
        rules: gives the grants that are in force now.
    """

    def policy(caller: Caller, permission: Permission, target: AnyTarget) -> bool:
        return owner(caller, permission, target) or rules().allows(caller, permission, target, time())

    return policy


_PERMISSIONS = tuple(Permission)
"""At hand, as it is asked for each message: to go through an Enum is to make a list of it."""


class Access:
    """Judges callers by one policy.

    Args:
        policy: who holds what.
        owner: the part of it that needs no grant; all of it, if none is given.
        require_known: raises what is said to who holds nothing while it is not known what he was granted.
    """

    def __init__(
        self, policy: Policy, owner: Policy | None = None, require_known: Callable[[], None] = lambda: None
    ) -> None:
        self._policy = policy
        self._owner = owner or policy
        self._require_known = require_known

    def owns(self, caller: Caller, permission: Permission, target: AnyTarget) -> bool:
        """Whether it is by the owner's right, and by no grant, that the caller holds this permission."""
        return self._owner(caller, permission, target)

    def held(self, caller: Caller) -> tuple[Permission, ...]:
        """List what the caller holds for something, in the order of Permission."""
        return tuple(permission for permission in Permission if self.allows(caller, permission, None))

    def admit(self, caller: Caller, permission: Permission | None = None) -> None:
        """The first step: the caller holds this permission for something, or with None any at all.

        Raises:
            NotAuthenticatedError: the kernel does not say who the caller is: whatever he asks, and holds.
            ReadOnlyError: the caller would hold it, were the connection not read-only.
            AccessDeniedError: he does not hold it.
            SealError, StoreCorruptError: the daemon does not know that, or no grant is in force.
        """
        _require_known_caller(caller)
        if permission is not None:
            self.require(caller, permission, None)
            return
        for one in _PERMISSIONS:
            if self.allows(caller, one, None):
                return
        self._require_known()
        raise AccessDeniedError("you may do nothing here: no permission was granted to you")

    def require(self, caller: Caller, permission: Permission, target: AnyTarget) -> None:
        """The second step: the caller holds this permission for the target, for all, or with None for something.

        Raises:
            NotAuthenticatedError, ReadOnlyError, AccessDeniedError, SealError, StoreCorruptError: as for ``admit``.
        """
        _require_known_caller(caller)
        if self.allows(caller, permission, target):
            return
        if caller.read_only and self._policy(caller, permission, target):
            raise ReadOnlyError
        self._require_known()
        raise AccessDeniedError(f"you do not hold the permission '{permission.value}'")

    def allows(self, caller: Caller, permission: Permission, target: AnyTarget) -> bool:
        """Whether the caller holds this permission for the target, for all, or with None for something."""
        if caller.read_only and permission not in READ_ONLY_PERMISSIONS:
            return False
        return self._policy(caller, permission, target)


def _require_known_caller(caller: Caller) -> None:
    if not caller.known:
        raise NotAuthenticatedError(
            "it is not known who you are: your user is not mapped in the daemon's user namespace"
        )
