"""Listing: pages of what a caller may see, over both homes, in the order of ids.

A page examines a bounded number of records and fills a bounded message; what is left is for the next page.  Whoever
looks through many secrets takes turns with everybody else.  What he may see is asked again after each wait: a grant
that is gone meanwhile shows him nothing more.

Where the next page begins is told as a marker, which hides the place: it may be that of a secret that the caller may
not see.  A place that he chooses himself nobody can ask for, or he could find such secrets by trying.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from uuid import UUID

from secretd import limits
from secretd import operations as ops
from secretd.core.access import EVERYTHING, Access
from secretd.core.events import Listener
from secretd.core.keptpages import KeptPages
from secretd.core.sealing import Seal
from secretd.core.state import Home, SecretState, Shown, shown_of
from secretd.core.turns import Turn, Turns
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.crypto.places import HiddenPlaces
from secretd.lifecycle import NOTHING_BEFELL
from secretd.model import Caller, Permission, UsageType

_FIRST = UUID(int=0)
_MARKER_LABEL = b"secretd list marker"

_MORE_EACH_STEP = 4
"""Whoever has found nothing reads so many times more: neither much for little, nor little by little."""


class Listing:
    """Lists the secrets of all homes."""

    def __init__(self, access: Access, seal: Seal, persistent: Home, ephemeral: Home) -> None:
        self._access = access
        self._seal = seal
        self._persistent = persistent
        self._ephemeral = ephemeral
        self._kept = KeptPages()
        self._turns = Turns()

    async def list(self, caller: Caller, request: ops.List, waits: Listener | None = None) -> ops.Listed:
        """Give one page of the secrets that the caller may see and the request asks for.

        Args:
            caller, request: who, and what for.
            waits: who waits for it.

        Raises:
            BusyError: nobody waits for it any more.
            SecretdError: what Access.admit raises, as he may not list any more.
        """
        search = _Search(self._access, caller, request)
        moment = await self._moment() if search.sees_all else None
        if moment is None:
            return await self._make_page(caller, search, request, waits)
        search.judge()
        listed = self._kept.get(moment, request) if search.sees_all else None
        if listed is None:
            listed = await self._make_page(caller, search, request, waits)
            # Even if a secret changes while it is made: then the moment is over, and none is ever like it. What is
            # damaged is told to administrators alone; but where all secrets are in memory, none is.
            if search.saw_all and listed.damaged is None:
                self._kept.keep(moment, request, listed)
        return listed

    async def _moment(self) -> tuple[Keyring, int, int] | None:
        """Give what is another as soon as a page may be, and never the same again; None where that is not known."""
        persistent, ephemeral = await self._persistent.version(), await self._ephemeral.version()
        # The digests are the keyring's, and those of memory outlive a rotation.
        keyring = self._seal.keyrings[Domain.SHARED]
        return (keyring, persistent, ephemeral) if persistent is not None and ephemeral is not None else None

    async def _make_page(
        self, caller: Caller, search: _Search, request: ops.List, waits: Listener | None
    ) -> ops.Listed:
        page = _Page(request.limit)
        filtered = request.private is not None or request.usage_type is not None
        homes = self._homes(request)
        start: UUID | None = places_of(self._seal).find(request.marker) if request.marker is not None else _FIRST
        examined = 0
        # Who filters looks at more than he shows, and reads it in as few steps as may be.
        least = int(limits.SCAN_RECORDS) if filtered else 1
        enough = max(least, page.room + 1)
        async with self._turns.of(caller.uid, waits) as turn:
            while start is not None and examined < limits.PAGE_EXAMINED:
                most = min(limits.PAGE_EXAMINED - examined, limits.SCAN_RECORDS, enough)
                states, start, damaged = await _merged(homes, start, most)
                examined += len(states) + damaged
                if damaged and Permission.ADMIN in self._access.held(caller):
                    page.damaged += damaged
                wanted = await _wanted(states, search, page.room + 1, turn)
                keyrings = self._seal.keyrings
                added = page.add([shown_of(keyrings, state) for state in wanted])
                if added < len(wanted):
                    start = wanted[added].id
                    break
                enough = max(least, page.room + 1) if wanted else enough * _MORE_EACH_STEP
        return page.finish(places_of(self._seal).hide(start) if start is not None else None)

    async def count(self, caller: Caller, request: ops.Count, waits: Listener | None = None) -> ops.Counted:
        """Count the secrets that the caller may see and the request asks for: a kept number, where that will do.

        Args:
            caller, request: who, and what for.
            waits: who waits for it.

        Raises:
            BusyError: nobody waits for it any more.
            SecretdError: what Access.admit raises, as he may not count any more.
        """
        homes = self._homes(request)
        search = _Search(self._access, caller, request)
        if request.private is None and search.sees_all:
            number = sum([await _kept_number(home, archived=request.archived) for home in homes])
            search.judge()
            if search.sees_all:
                return ops.Counted(number)
        found = 0
        start: UUID | None = _FIRST
        async with self._turns.of(caller.uid, waits) as turn:
            while start is not None:
                states, start, _ = await _merged(homes, start, limits.SCAN_RECORDS)
                found += len(await _wanted(states, search, len(states), turn))
        return ops.Counted(found)

    def _homes(self, request: ops.List | ops.Count) -> tuple[Home, ...]:
        if request.ephemeral is None:
            return self._persistent, self._ephemeral
        return (self._ephemeral,) if request.ephemeral else (self._persistent,)


class _Search:
    """What a request asks for, of what its caller may see at the time.

    Attributes:
        sees_all: he may see every secret.
        saw_all: he might whenever that was judged.
    """

    def __init__(self, access: Access, caller: Caller, request: ops.List | ops.Count) -> None:
        self._access = access
        self._caller = caller
        self._permission = ops.BY_REQUEST[type(request)].permission
        self._private = request.private
        self._archived = request.archived
        self._usage_type = request.usage_type if isinstance(request, ops.List) else None
        self.saw_all = True
        self.judge()

    def judge(self) -> None:
        """Find out what the caller may see from now on; as long as nothing is waited for, nothing changes it.

        Raises:
            SecretdError: what Access.admit raises, as he may not even ask any more.
        """
        self._access.admit(self._caller, self._permission)
        self.sees_all = self._access.allows(self._caller, Permission.GETATTR, EVERYTHING)
        self.saw_all = self.saw_all and self.sees_all

    def finds(self, state: SecretState) -> bool:
        """Whether a secret is asked for, and the caller may see it."""
        attributes = state.attributes
        return (
            (self._archived or state.lifecycle is NOTHING_BEFELL or state.lifecycle.out_of_use is None)
            and (self._private is None or attributes.private is self._private)
            and (self._usage_type is None or _usage_type(state) is self._usage_type)
            and (self.sees_all or self._access.allows(self._caller, Permission.GETATTR, state.target))
        )


def places_of(seal: Seal) -> HiddenPlaces:
    """Give what hides the places in markers: the same as long as the store lasts, so that no restart ends a marker."""
    return HiddenPlaces(seal.keyrings[Domain.SHARED].mac(_MARKER_LABEL, b""))


async def _kept_number(home: Home, *, archived: bool) -> int:
    return await home.count() - (0 if archived else await home.count_out_of_use())


async def _wanted(states: Iterable[SecretState], search: _Search, most: int, turn: Turn) -> list[SecretState]:
    """Give the first of these secrets that are wanted; others have their turn as soon as it is time for them.

    Raises:
        BusyError: nobody waits for them any more.
        SecretdError: what Access.admit raises, as nobody may any more.
    """
    found: list[SecretState] = []
    # What was granted may be gone since the turn was waited for, and since these were read.
    search.judge()
    for state in states:
        # Each time, as nobody knows beforehand how long it takes to judge one.
        if turn.is_over:
            await turn.pass_on()
            search.judge()
        if search.finds(state):
            found.append(state)
            if len(found) == most:
                break
    return found


def _usage_type(state: SecretState) -> UsageType:
    usage = state.attributes.usage
    return usage.type if usage else UsageType.NONE


class _Page:
    """The entries of one page, as long as there is room for them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.damaged = 0
        self._bytes = 0
        self._entries: list[ops.Entry] = []

    @property
    def room(self) -> int:
        return self._limit - len(self._entries)

    def add(self, shown: Sequence[Shown]) -> int:
        """Add as many of these as there is room for, the first first; say how many."""
        bytes_at = list(accumulate((one.most_bytes for one in shown), initial=self._bytes))
        number = min(bisect_right(bytes_at, limits.PAGE_BYTES) - 1, self.room)
        self._entries += [one.entry for one in shown[:number]]
        self._bytes = bytes_at[number]
        return number

    def finish(self, next_marker: UUID | None) -> ops.Listed:
        return ops.Listed(tuple(self._entries), next_marker is not None, next_marker, self.damaged or None)


async def _merged(homes: tuple[Home, ...], start: UUID, most: int) -> tuple[Sequence[SecretState], UUID | None, int]:
    """Give at most ``most`` secrets of all homes from ``start`` on, where the rest begins, and how many are damaged."""
    pages = [await home.page(start, most) for home in homes]
    damaged = sum(page.damaged for page in pages)
    not_empty = [page for page in pages if page.states or page.next_start is not None]
    if len(not_empty) == 1:
        return not_empty[0].states, not_empty[0].next_start, damaged
    # Of a secret that a failed move left in two homes, the later home's counts, as it does everywhere else.
    by_id = {state.id: state for page in pages for state in page.states}
    states = [by_id[secret] for secret in sorted(by_id)]
    # Beyond where one home's page ends, that home may have more in between.
    ends = [page.next_start for page in pages if page.next_start is not None]
    ends.extend(state.id for state in states[most : most + 1])
    end = min(ends, default=None)
    return [state for state in states if end is None or state.id < end], end, damaged
