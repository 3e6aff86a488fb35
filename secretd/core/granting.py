"""The operations on grants: whoever may administer the daemon gives and takes them.

In session mode there are none to give, as the daemon serves its user alone.

Source: docs/access.md.
"""

from __future__ import annotations

from time import time

from secretd import grantrequests as requests
from secretd import limits
from secretd.core import grantform as form
from secretd.core.events import Events
from secretd.core.grantstore import Grants
from secretd.core.matching import Rules
from secretd.errors import InvalidRequestError, OperationInvalidError
from secretd.grants import Grant
from secretd.model import Caller, Mode, Permission

_WRITTEN_MOST = 6
"""So many times as long as it is kept a grant is at most as a document: a quote is two bytes there and six here."""

_MARKUP_BYTES = 512
"""What a document has beside what is in it."""

_SCOPE_BYTES = 64
"""What a document has around a scope."""

_TO_BE_TOLD = (Permission.SEARCH, Permission.GETATTR)
"""What decides who is told of which secrets."""


class Granting:
    """Gives, shows and takes grants."""

    def __init__(self, mode: Mode, grants: Grants, events: Events) -> None:
        self._mode = mode
        self._grants = grants
        self._events = events

    async def add(self, _: Caller, request: requests.GrantAdd) -> requests.GrantAdded:
        """Give a grant.

        Raises:
            OperationInvalidError: the daemon serves one user alone.
            InvalidRequestError: the grant's end is past.
            ConflictError, QuotaError, StoreError: what Grants.add raises.
        """
        if self._mode is Mode.SESSION:
            raise OperationInvalidError(
                "a daemon in session mode serves its user alone: nobody can be granted anything"
            )
        if request.grant.expires is not None and request.grant.expires.timestamp() <= time():
            raise InvalidRequestError("the end of this grant is past: it would give nothing")
        before = await self._grants.add(request.grant, replace=request.replace)
        self._tell(request.grant, *([before] if before else []))
        return requests.GrantAdded()

    async def list(self, _: Caller, request: requests.GrantList) -> requests.GrantsListed:
        """Give a page of all grants, in the order of their names."""
        waiting = [grant for grant in self._grants.all if request.marker is None or grant.name >= request.marker]
        page: list[Grant] = []
        room = int(limits.PAGE_BYTES)
        for grant in waiting[: request.limit]:
            room -= _written_bytes(grant)
            if room < 0 and page:
                break
            page.append(grant)
        rest = waiting[len(page) :]
        return requests.GrantsListed(tuple(page), bool(rest), rest[0].name if rest else None)

    async def show(self, _: Caller, request: requests.GrantShow) -> requests.GrantShown:
        """Give a grant.

        Raises:
            NoGrantError: there is none of this name.
        """
        return requests.GrantShown(self._grants.named(request.name))

    async def remove(self, _: Caller, request: requests.GrantRemove) -> requests.GrantRemoved:
        """Take a grant back.

        Raises:
            NoGrantError, StoreError: what Grants.remove raises.
        """
        removed = await self._grants.remove(request.name)
        self._tell(*([removed] if removed else []))
        return requests.GrantRemoved()

    def _tell(self, *grants: Grant) -> None:
        """Tell those of whom these grants speak, and who want to know of changes, that they see others now."""
        rules, now = Rules(grants), time()
        self._events.regranted(lambda caller: any(rules.allows(caller, one, None, now) for one in _TO_BE_TOLD))


def _written_bytes(grant: Grant) -> int:
    return _WRITTEN_MOST * len(form.to_bytes(grant)) + _SCOPE_BYTES * len(grant.scopes) + _MARKUP_BYTES
