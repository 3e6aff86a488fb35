"""What a request needs: found out by trying it, with everything granted, and then with one permission less and less.

What it cannot do without, it needs.  So this knows of no operation, and cannot part from what the handlers ask.  It
holds because more permissions never make an answer worse, and because no request can do with one of two, which the
tests show of every operation with every set of permissions (tests/core/test_explaining.py).

Source: docs/adr/0024-what-a-request-needs-is-found-by-trying-it.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from secretd import operations as ops
from secretd.core.access import Access, AnyTarget, KeyTarget, Policy, Target
from secretd.core.matching import all_of
from secretd.core.trial import Trial
from secretd.errors import ReferencedError, SecretdError
from secretd.model import Attributes, Caller, Permission

_ANYBODY = Caller(uid=0, gid=0, pid=0)
"""Who tries a request where it does not matter who does."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A permission that was asked for.

    Attributes:
        permission: which; any, if it is None.
        target: on which secret or key; None for something.
    """

    permission: Permission | None
    target: Target | KeyTarget | None

    @property
    def question(self) -> tuple[Permission | None, Attributes | KeyTarget | None]:
        """What was asked, whatever id a new secret got this time: one request is about one secret, or about keys."""
        return self.permission, _about(self.target)


@dataclass(frozen=True, slots=True)
class Case:
    """A request that is tried.

    Attributes:
        trial: tries it.
        permission: what its operation asks for first, as Trial.outcome takes it.
        request: the request, if it is about one secret or key.
    """

    trial: Trial
    permission: Permission | None
    request: ops.Request[Any] | None

    async def outcome(self, access: Access, caller: Caller) -> SecretdError | None:
        """Say what it would be refused with; None if it would be done."""
        return await self.trial.outcome(access, caller, self.permission, self.request)

    async def at_best(self, caller: Caller) -> SecretdError | None:
        """Say what it would be refused with if everything were granted."""
        return await self.outcome(Access(_everything([])), caller)

    async def needs(self) -> list[Asked]:
        """List what it cannot do without, in the order in which it is asked."""
        if self.request is None:
            return [Asked(self.permission, None)]
        asked: list[Asked] = []
        at_best = await self._said(_everything(asked))
        needed = list({one.question: one for one in asked}.values())
        for one in tuple(needed):
            others = [other for other in needed if other is not one]
            if await self._said(_only(others)) == at_best:
                needed = others
        return needed

    async def _said(self, policy: Policy) -> tuple[str, str] | None:
        error = await self.outcome(Access(policy), _ANYBODY)
        if error is None:
            return None
        # Whom it names who need the secret depends on what else the caller may, and is no other outcome.
        return error.code, "" if isinstance(error, ReferencedError) else error.message


def _everything(asked: list[Asked]) -> Policy:
    """Make a policy that grants everything, and notes what was asked."""

    def policy(_: Caller, permission: Permission, target: AnyTarget) -> bool:
        asked.append(Asked(permission, target if isinstance(target, Target | KeyTarget) else None))
        return True

    return policy


def _only(held: Collection[Asked]) -> Policy:
    """Make a policy that grants these, with what they come to, and nothing else."""

    def policy(_: Caller, permission: Permission, target: AnyTarget) -> bool:
        about = _about(target)
        there = frozenset(name for name, on in (one.question for one in held) if name and about in (None, on))
        return permission in all_of(there)

    return policy


def _about(target: AnyTarget) -> Attributes | KeyTarget | None:
    match target:
        case Target():
            return target.attributes
        case KeyTarget():
            return target
        case _:
            return None
