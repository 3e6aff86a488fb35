"""What a request is, and what a reply; secretd.operations has the table of them."""

from __future__ import annotations

from typing import Generic, TypeVar

ReplyT = TypeVar("ReplyT", bound="Reply")
ReplyT_co = TypeVar("ReplyT_co", bound="Reply", covariant=True)


class Reply:
    """What an operation gives: a frozen dataclass."""


class Request(Generic[ReplyT_co]):
    """What an operation takes: a frozen dataclass; ``ReplyT_co`` is what it gives."""
