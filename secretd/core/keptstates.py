"""The states of secrets that the cache keeps: found by id, given in the order of ids, and so many at most.

The order is made when a page is asked for, and kept from then on until a state has to go for lack of room: where there
are more secrets than may be kept, no page is ever asked for.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from uuid import UUID

from secretd import limits
from secretd.core.state import SecretState, StatePage


class KeptStates:
    """States by the number of the id, as the hash of a UUID is a call of Python.

    Attributes:
        version: higher whenever what is here is another.
    """

    def __init__(self) -> None:
        self.version = 0
        self._states: OrderedDict[int, SecretState] = OrderedDict()
        self._in_order: list[int] | None = None

    def __len__(self) -> int:
        return len(self._states)

    def get(self, number: int) -> SecretState | None:
        """Give a state, if it is here."""
        return self._states.get(number)

    def use(self, number: int) -> SecretState | None:
        """Give a state, if it is here; of all that are here it goes last."""
        state = self._states.get(number)
        if state is not None:
            self._states.move_to_end(number)
        return state

    def keep(self, state: SecretState) -> None:
        """Keep a state in the place of an older one; the one that was used longest ago goes if there is no room."""
        self.version += 1
        number = state.id.int
        if self._in_order is not None and number not in self._states:
            insort(self._in_order, number)
        self._states[number] = state
        if len(self._states) > limits.CACHE_SECRETS:
            self._states.popitem(last=False)
            self._in_order = None

    def drop(self, number: int) -> None:
        """Keep a state no longer, if it is here."""
        # Also if it is not here: what is not here may be about to change as well.
        self.version += 1
        if self._states.pop(number, None) is not None and self._in_order is not None:
            del self._in_order[bisect_left(self._in_order, number)]

    def clear(self) -> None:
        """Keep none of them."""
        self.version += 1
        self._states.clear()
        self._in_order = None

    def page(self, start: UUID, most: int) -> StatePage:
        """Give at most ``most`` states with ids from ``start`` on."""
        if self._in_order is None:
            self._in_order = sorted(self._states)
        first = bisect_left(self._in_order, start.int)
        end = first + most
        states = tuple([self._states[number] for number in self._in_order[first:end]])
        return StatePage(states, UUID(int=self._in_order[end]) if end < len(self._in_order) else None)
