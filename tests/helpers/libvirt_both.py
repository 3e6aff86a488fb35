"""The same calls to a real libvirtd and to secretd, by libvirt's own Python binding; each must come to the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from helpers.libvirt_client import LibvirtClient, Outcome
from helpers.libvirt_raw import wipe
from helpers.libvirt_target import Target

TOKEN = "<token>"
"""Stands for the system token of the daemon that is asked."""

NEWER_ERRORS = {
    ((67, 30, 2), (27, 5, 2)),
    ((27, 30, 2), (27, 5, 2)),
}
"""A usage type that is unknown or missing: what libvirt 9.0 answers, and 12.8, which secretd follows."""


class Pair(NamedTuple):
    """The two daemons."""

    libvirtd: Target
    secretd: Target

    def wipe(self) -> None:
        """Undefine all secrets of both."""
        wipe(self.libvirtd)
        wipe(self.secretd)


class Call(NamedTuple):
    """A call by the binding: of a connection, or of a secret that it returned before."""

    function: str
    arguments: tuple[Any, ...] = ()
    secret: str | None = None
    on: str = "rw"


class Both:
    """A client of each daemon, of which the same is asked."""

    def __init__(self, pair: Pair, libvirtd: LibvirtClient, secretd: LibvirtClient) -> None:
        self._pair = pair
        self._libvirtd, self._secretd = libvirtd, secretd
        self._uuids: dict[str, str] = {}
        self._seen: set[str] = set()
        self.calls = 0

    def restart(self) -> None:
        """Begin anew: new connections, and no secrets."""
        self._pair.wipe()
        self._uuids.clear()
        self._seen.clear()
        self.open("rw")

    def make(self, call: Call) -> Outcome:
        """Make a call."""
        return self.call(call.function, *call.arguments, on=call.on, secret=call.secret)

    def open(self, name: str, *, read_only: bool = False) -> None:
        """Open one more connection to each."""
        self._compare(
            f"open {name}",
            self._libvirtd.open(name, read_only=read_only),
            self._secretd.open(name, read_only=read_only),
        )

    def call(self, function: str, *arguments: Any, on: str = "rw", secret: str | None = None) -> Outcome:
        """Make a call; ``secret`` is one that libvirtd gave.

        Raises:
            AssertionError: they answer differently.
        """
        theirs = next((mine for mine, its in self._uuids.items() if its == secret), secret)
        one = self._libvirtd.call(function, *_for(self._pair.libvirtd, arguments), on=on, secret=secret)
        other = self._secretd.call(function, *_for(self._pair.secretd, arguments), on=on, secret=theirs)
        if function == "secretDefineXML":
            self._learn(one.get("result"), other.get("result"))
        return self._compare(f"{function}{arguments} of {secret or on}", _sorted(one), _sorted(self._translated(other)))

    def listen(self, event: int, secret: str | None = None, *, label: str = "all", on: str = "rw") -> Outcome:
        """Ask for events."""
        one = self._libvirtd.listen(event, secret, label=label, on=on)
        other = self._secretd.listen(event, secret, label=label, on=on)
        return self._compare(f"listen to {event} of {secret}", one, other)

    def events(self, on: str = "rw") -> Outcome:
        """Give all events since the last time."""
        return self._compare("events", self._libvirtd.events(on), self._translated(self._secretd.events(on)))

    def _compare(self, asked: str, one: Outcome, other: Outcome) -> Outcome:
        self.calls += 1
        is_newer = (tuple(one.get("error", ())), tuple(other.get("error", ()))) in NEWER_ERRORS
        if one != other and not is_newer:
            raise AssertionError(f"{asked[:2000]}\n  libvirtd: {one}\n  secretd:  {other}")
        return one

    def _learn(self, one: Any, other: Any) -> None:
        """Pair the ids that each daemon made up for a secret that was defined without one."""
        if one and other and one[0] != other[0] and one[0] not in self._seen and other[0] not in self._seen:
            self._uuids[other[0]] = one[0]
        self._seen.update(secret[0] for secret in (one, other) if secret)

    def _translated(self, outcome: Outcome) -> Outcome:
        """Put libvirtd's ids for secretd's own."""
        text = json.dumps(outcome)
        for mine, its in self._uuids.items():
            text = text.replace(mine, its)
        translated: Outcome = json.loads(text)
        return translated


@contextmanager
def both_clients(pair: Pair) -> Iterator[Both]:
    """Connect to both daemons, which then have no secrets."""
    pair.wipe()
    with ExitStack() as stack:
        libvirtd, secretd = (stack.enter_context(LibvirtClient(target)) for target in pair)
        yield Both(pair, libvirtd, secretd)


def _for(target: Target, arguments: tuple[Any, ...]) -> list[Any]:
    token = target.token.read_text()
    return [
        {name: token if value == TOKEN else value for name, value in argument.items()}
        if isinstance(argument, dict)
        else argument
        for argument in arguments
    ]


def _sorted(outcome: Outcome) -> Outcome:
    """Order what has no order, and leave out what the client itself puts into a URI: the path of the socket."""
    result = outcome.get("result")
    if isinstance(result, str) and result.startswith("secret:"):
        return {"result": result.partition("?")[0]}
    if isinstance(result, list) and not any(isinstance(part, int) for part in result):
        return {"result": sorted(result, key=json.dumps)}
    return outcome
