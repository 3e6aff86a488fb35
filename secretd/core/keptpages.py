"""The pages of lists that were made last, for as long as they are what would be made again.

Only for callers who see every secret: they are all shown the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from secretd import limits
from secretd import operations as ops


class KeptPages:
    """Pages, all of one moment: what is equal as long as nothing has changed."""

    def __init__(self) -> None:
        self._moment: Hashable = None
        self._pages: OrderedDict[ops.List, ops.Listed] = OrderedDict()

    def get(self, moment: Hashable, request: ops.List) -> ops.Listed | None:
        """Give the page that was asked for like this, if nothing has changed since."""
        return self._pages.get(request) if moment == self._moment else None

    def keep(self, moment: Hashable, request: ops.List, listed: ops.Listed) -> None:
        """Keep a page of a moment; those of another go."""
        if moment != self._moment:
            self._pages.clear()
            self._moment = moment
        self._pages[request] = listed
        if len(self._pages) > limits.KEPT_PAGES:
            self._pages.popitem(last=False)
