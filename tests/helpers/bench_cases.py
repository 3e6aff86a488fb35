"""The operations that are measured, and what each client asks: secrets of its own, so that none waits for another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from helpers.bench_store import ids, usage
from helpers.bench_yardsticks import VALUE_SIZES
from secretd import limits
from secretd import operations as ops
from secretd.model import Attributes, SecretDocument, SecretValue

CLIENTS = 32
SECRETS = 1_000
"""In the store at first; allocate-id adds some."""

_IDS = ids(SECRETS)
_SHORT, _LONG = VALUE_SIZES
_LONG_SECRETS = 2


class Share:
    """The secrets that one client has to itself.

    Args:
        client: 0 for the one client, 1 to CLIENTS for those of the many.
    """

    def __init__(self, client: int) -> None:
        per_client = SECRETS // (CLIENTS + 1)
        self._first = client * per_client
        self._ids: Sequence[UUID] = _IDS[self._first : self._first + per_client]

    def short(self, call: int) -> UUID:
        """Give a secret whose value is short."""
        return self._ids[call % (len(self._ids) - _LONG_SECRETS)]

    def long(self, call: int) -> UUID:
        """Give a secret whose value is long."""
        return self._ids[-1 - call % _LONG_SECRETS]

    def new(self, call: int) -> UUID:
        """Give an id that no secret has."""
        return UUID(int=self._ids[0].int ^ (call + 1))

    def lookup(self, call: int) -> ops.LookupByUsage:
        """Look up the usage of a secret."""
        return ops.LookupByUsage(usage(self._first + call % len(self._ids)))

    def document(self, call: int) -> SecretDocument:
        """Describe the secret that ``short`` gives."""
        number = self._first + call % (len(self._ids) - _LONG_SECRETS)
        return SecretDocument(Attributes(usage(number), f"described by call {call}"), self.short(call))


Make = Callable[[Share, int], ops.Request[Any]]
"""Makes a client's request from the number of its call."""


@dataclass(frozen=True)
class Case:
    """An operation that is measured.

    Attributes:
        make: its request.
        yardstick: what its rate is held against.
        before: makes the request that must come before each, and is not measured.
        calls: so many at most in a round.
    """

    make: Make
    yardstick: str
    before: Make | None = None
    calls: int | None = None


def _set(secret: UUID, size: int) -> ops.SetValue:
    return ops.SetValue(secret, SecretValue(os.urandom(size)))


_READ, _CHANGE = f"echo {_SHORT}", f"sqlite-commit {_SHORT}"

CASES: dict[str, Case] = {
    f"get-value {_SHORT}": Case(lambda share, call: ops.GetValue(share.short(call)), _READ),
    f"get-value {_LONG}": Case(
        lambda share, call: ops.GetValue(share.long(call)),
        f"echo {_LONG}",
        before=lambda share, call: _set(share.long(call), _LONG),
        calls=200,
    ),
    "get-xml": Case(lambda share, call: ops.GetXml(share.short(call)), _READ),
    "lookup-by-usage": Case(lambda share, call: share.lookup(call), _READ),
    "list 1000": Case(lambda _, __: ops.List(limit=int(limits.PAGE_ENTRIES)), _READ),
    "whoami": Case(lambda _, __: ops.Whoami(), _READ),
    "status": Case(lambda _, __: ops.Status(), _READ),
    f"set-value {_SHORT}": Case(lambda share, call: _set(share.short(call), _SHORT), _CHANGE),
    f"set-value {_LONG}": Case(lambda share, call: _set(share.long(call), _LONG), f"sqlite-commit {_LONG}"),
    "set-xml": Case(lambda share, call: ops.SetXml(share.short(call), share.document(call)), _CHANGE),
    "define": Case(lambda share, call: ops.Define(share.document(call)), _CHANGE),
    "allocate-id": Case(lambda _, call: ops.AllocateId(f"made by call {call}"), _CHANGE),
    "delete": Case(
        lambda share, call: ops.Delete(share.new(call)),
        _CHANGE,
        before=lambda share, call: _set(share.new(call), _SHORT),
        calls=100,
    ),
}
