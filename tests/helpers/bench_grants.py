"""The same questions where there is one grant and where there are 1,000: contrib/bench --grants.

Both daemons run in system mode beside each other, and nobody asks: by the one grant that is his, and by half of the
1,000.  Each question is measured at the one and then at the other before the next one's turn, and what is compared are
the rates within a round.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from uuid import UUID

from helpers.bench_figures import Figures, timed
from helpers.bench_run import Report
from helpers.libvirt_frames import frame
from helpers.libvirt_raw import RawConnection
from helpers.libvirt_secretd import system_secretd
from helpers.users import NOBODY
from secretd import operations as ops
from secretd.client import Client
from secretd.grantrequests import GrantAdd
from secretd.grants import PERMISSIONS_OF, Grant, PermissionSet, Principal, PrincipalKind, UsageLike
from secretd.model import Attributes, SecretDocument, SecretValue, Usage, UsageType

FEW, MANY = 1, 1_000
SECRETS = 1_000

_VALUE_BYTES = 64
_ALL = 1
"""Of LIST_ALL_SECRETS: that the secrets are wanted, and not only their number."""


def run_grants(rounds: int, seconds: float, counts: Sequence[int] = (FEW, MANY), secrets: int = SECRETS) -> Report:
    """Measure both; skips the test where no daemon can run in system mode.

    Args:
        rounds: how many; every figure is their median.
        seconds: for each figure of a round.
        counts: how many grants there are, in the one daemon and in the other.
        secrets: how many there are in each.
    """
    with ExitStack() as held:
        one, other = (_Side(held, grants, secrets) for grants in counts)
        kept: list[dict[str, tuple[Figures, Figures]]] = [
            {name: (timed(one.calls[name], seconds), timed(other.calls[name], seconds)) for name in one.calls}
            for _ in range(rounds)
        ]
    return {
        "rounds": rounds,
        "secrets": secrets,
        "counts": list(counts),
        "operations": [_operation(name, [taken[name] for taken in kept]) for name in kept[0]],
    }


def _operation(name: str, rounds: Sequence[tuple[Figures, Figures]]) -> Report:
    few, many = zip(*rounds, strict=True)
    return {
        "name": name,
        "few": asdict(Figures.median(few)),
        "many": asdict(Figures.median(many)),
        "ratio": statistics.median(after.rate / before.rate for before, after in rounds),
    }


class _Side:
    """A daemon with so many grants, and nobody's connections to both of its doors."""

    def __init__(self, held: ExitStack, grants: int, secrets: int) -> None:
        target = held.enter_context(system_secretd())
        native = target.socket.with_name("secretd-sock")
        with Client(native) as root:
            for grant in _grants(grants):
                root.call(GrantAdd(grant))
            self._ids = [_make(root, number) for number in range(secrets)]
        self._client = held.enter_context(_nobodys(native))
        self._libvirt = held.enter_context(RawConnection(target, uid=NOBODY))
        self._libvirt.open(target.uri)
        self._secrets = secrets
        self.calls: dict[str, Callable[[int], object]] = {
            "get-value": lambda call: self._client.call(ops.GetValue(self._id(call))),
            "list": lambda _: self._client.call(ops.List()),
            "libvirt's get-value": lambda call: self._libvirt.answer(frame("GET_VALUE", (self._id(call), 0, ""), 0)),
            "libvirt's list": lambda _: self._libvirt.answer(frame("LIST_ALL_SECRETS", _ALL, 0)),
        }

    def _id(self, call: int) -> UUID:
        return self._ids[call % self._secrets]


def _grants(count: int) -> Iterator[Grant]:
    """Give the grant that counts, and others: every second one is the caller's too, and of secrets like his."""
    allowed = PERMISSIONS_OF[PermissionSet.READ_ONLY]
    for number in range(count):
        uid = 1_000 + number if number % 2 else NOBODY
        scope = UsageLike(UsageType.CEPH, f"other{number}/**" if number else "bench/*")
        yield Grant(f"g{number}", None, Principal(PrincipalKind.USER, uid), allowed, (scope,))


def _make(root: Client, number: int) -> UUID:
    attributes = Attributes(Usage(UsageType.CEPH, f"bench/{number}"))
    made = root.call(ops.Define(SecretDocument(attributes)))
    root.call(ops.SetValue(made.secret, SecretValue(os.urandom(_VALUE_BYTES))))
    return made.secret


def _nobodys(socket: Path) -> Client:
    # The kernel notes who connects when he does.
    os.seteuid(NOBODY)
    try:
        return Client(socket)
    finally:
        os.seteuid(0)
