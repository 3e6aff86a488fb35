"""Asking for a list whole that comes a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, TypeVar, cast

from secretd.client import Client
from secretd.grantrequests import GrantsListed
from secretd.keyrequests import KeysListed
from secretd.operations import Listed, Request

PageT = TypeVar("PageT", Listed, GrantsListed, KeysListed)


def pages(client: Client, first: Request[PageT]) -> Iterator[PageT]:
    """Give all pages, each asked for only when it is wanted.

    Args:
        client: who asks.
        first: the request for the first page; it has a marker, as its replies have.

    Raises:
        SecretdError: as the daemon answered.
    """
    reply = client.call(first)
    yield reply
    while reply.truncated:
        reply = client.call(replace(cast("Any", first), marker=reply.next_marker))
        yield reply
