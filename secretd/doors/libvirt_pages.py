"""The pages of lists that were written last, as they stand in a reply.

As long as nothing changes the core gives the very same page again, and then it need not be written again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from secretd import limits
from secretd.operations import Entry, Listed

WriteEntry = Callable[[Entry], bytes]


class WrittenPages:
    """Written pages, by the page and by what wrote it."""

    def __init__(self) -> None:
        self._written: OrderedDict[tuple[int, WriteEntry], tuple[Listed, bytes]] = OrderedDict()

    def write(self, listed: Listed, write: WriteEntry) -> bytes:
        """Write the entries of a page, one after the other."""
        # By what it is and not what it says, which would take as long to compare. No other page has this id as long as
        # this one is kept.
        place = id(listed), write
        if place not in self._written:
            self._written[place] = listed, b"".join(map(write, listed.entries))
            if len(self._written) > limits.KEPT_PAGES:
                self._written.popitem(last=False)
        return self._written[place][1]
