"""What a request is, and what a reply; secretd.operations has the table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from secretd.fields import Help
from secretd.model import Digest

ReplyT = TypeVar("ReplyT", bound="Reply")
ReplyT_co = TypeVar("ReplyT_co", bound="Reply", covariant=True)


class Reply:
    """What an operation gives: a frozen dataclass."""


class Request(Generic[ReplyT_co]):
    """What an operation takes: a frozen dataclass; ``ReplyT_co`` is what it gives."""


@dataclass(frozen=True, slots=True)
class Changed(Reply):
    """The reply to a change: which secret, and its digest from now on."""

    secret: Annotated[UUID, Help("the secret's id")]
    digest: Annotated[Digest, Help("the secret's digest")]
