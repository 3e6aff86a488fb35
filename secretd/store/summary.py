"""What a store keeps about all its records together, in the same commits that change them.

The core knows what it is, and seals it; the store knows when it changes.  It is made where a commit is applied, as
only there is known what a record was before, and which commits share a transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Replacement:
    """What one write did to one record; None stands for no record."""

    key: bytes = field(repr=False)
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)


class Summary(ABC):
    """A value that follows every commit, kept as the record ``key``. No commit writes that record itself.

    Its methods may be called in any thread. What they raise refuses the commit, of which nothing is applied then.
    """

    key: bytes

    @abstractmethod
    def of(self, records: Iterable[tuple[bytes, bytes]], revision: int) -> bytes:
        """Make the summary of these records (key and value), as of a revision. ``key`` itself is not among them."""

    @abstractmethod
    def after(self, before: bytes | None, replacements: Iterable[Replacement], revision: int) -> bytes:
        """Make the summary that follows from the one before (None: its record is gone) by these writes, in order."""
