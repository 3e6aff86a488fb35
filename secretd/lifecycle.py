"""The nouns of what befalls keys and secrets alike: archived, referenced, protected, to be deleted.

The rules about them are core/lifecycle.py's.

Source: docs/keys.md, "References", "Deletion that waits" and "Secrets have the same".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from secretd import limits
from secretd.errors import InvalidRequestError
from secretd.fields import Help

_CONSUMER = re.compile("[!-~]+")


class ReferenceKind(Enum):
    """How a consumer needs an object: for new use too, or only to open what is there."""

    ACTIVE = "active"
    ASSOCIATED = "associated"


class OutOfUse(Enum):
    """Why a secret is left out of lists."""

    ARCHIVED = "archived"
    PENDING_DELETION = "pending-deletion"


@dataclass(frozen=True, slots=True)
class Reference:
    """A named consumer that needs an object.

    Args:
        consumer: 1 to limits.CONSUMER_CHARACTERS printable characters of ASCII, without a space.
        kind: how it needs it.

    Raises:
        InvalidRequestError: the consumer's name is not so.
    """

    consumer: Annotated[str, Help("who needs it")]
    kind: Annotated[ReferenceKind, Help("how")]

    def __post_init__(self) -> None:
        if len(self.consumer) > limits.CONSUMER_CHARACTERS or not _CONSUMER.fullmatch(self.consumer):
            raise InvalidRequestError(
                f"a consumer's name has 1 to {limits.CONSUMER_CHARACTERS} printable characters of ASCII, and no space"
            )


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What befell an object.

    Args:
        archived: when it was archived, in seconds since 1970; None if it is not.
        due: when it will be deleted, likewise; None if it is not to be.
        protected: whether it is kept from deletion.
        references: at most limits.REFERENCES, sorted by consumer, each consumer once.
    """

    archived: int | None = None
    due: int | None = None
    protected: bool = False
    references: tuple[Reference, ...] = ()

    @property
    def out_of_use(self) -> OutOfUse | None:
        """Why it is out of use; None if it is in use."""
        if self.due is not None:
            return OutOfUse.PENDING_DELETION
        return OutOfUse.ARCHIVED if self.archived is not None else None


NOTHING_BEFELL: Final = Lifecycle()
"""Of nearly every object."""
