"""One client of libvirt's own Python binding, for the benchmark: it does what each line of its input says.

It is a program for the interpreter that has the binding, which is the system's and has nothing of this project.  A line
is a JSON object; ``do`` names a method of ``Clients`` and the rest are its arguments.  The answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import libvirt  # type: ignore[import-not-found]  # Debian's, which is not in any venv

VALUE_BYTES = 64

_DOCUMENT = """\
<secret>
  <uuid>{uuid}</uuid>
  <description>{description}</description>
  <usage type='volume'>
    <volume>{volume}</volume>
  </usage>
</secret>
"""

_Call = Callable[[], object]


class _Client:
    """A connection to one daemon, and some of its secrets.

    Args:
        uri: where it is.
        secrets: the id and the volume of each that is asked for and changed; nobody else changes them meanwhile.
    """

    def __init__(self, uri: str, secrets: Sequence[tuple[str, str]]) -> None:
        self._connection = libvirt.open(uri)
        self._secrets = secrets
        self._found = [self._connection.secretLookupByUUIDString(uuid) for uuid, _ in secrets]
        self._made: list[Any] = []
        self._chance = random.Random(uri)
        self._calls: dict[str, _Call] = {
            "get-value": lambda: self._any_found().value(),
            "lookup-by-uuid": lambda: self._connection.secretLookupByUUIDString(self._any()[0]),
            "lookup-by-usage": lambda: self._connection.secretLookupByUsage(
                libvirt.VIR_SECRET_USAGE_TYPE_VOLUME, self._any()[1]
            ),
            "dumpxml": lambda: self._any_found().XMLDesc(),
            "list": self._connection.listAllSecrets,
            "count": self._connection.numOfSecrets,
            "set-value": lambda: self._any_found().setValue(os.urandom(VALUE_BYTES)),
            "define": lambda: self._made.append(self._define(uuid := str(uuid4()), f"/{uuid}", "made")),
            "redefine": lambda: self._define(*self._any(), "described anew"),
            "undefine": lambda: self._made.pop().undefine(),
        }

    def measure(self, name: str, seconds: float) -> list[float]:
        """Call again and again; what was defined is undefined all of it, however long it takes."""
        call, latencies = self._calls[name], list[float]()
        ends = time.monotonic() + seconds
        while self._made if name == "undefine" else time.monotonic() < ends:
            before = time.monotonic()
            result = call()
            latencies.append(time.monotonic() - before)
            # To free 16,000 objects takes as long as to list them, and is no matter of the daemon's.
            del result
        return latencies

    def count(self) -> int:
        return int(self._connection.numOfSecrets())

    def fill(self, secrets: Sequence[tuple[str, str]]) -> None:
        for uuid, volume in secrets:
            self._define(uuid, volume, "filled").setValue(os.urandom(VALUE_BYTES))

    def clear(self) -> None:
        for secret in self._connection.listAllSecrets():
            secret.undefine()

    def close(self) -> None:
        self._found.clear()
        self._connection.close()

    def _any(self) -> tuple[str, str]:
        return self._chance.choice(self._secrets)

    def _any_found(self) -> Any:  # the binding has no types
        return self._chance.choice(self._found)

    def _define(self, uuid: str, volume: str, description: str) -> Any:  # as above
        document = _DOCUMENT.format(uuid=uuid, description=description, volume=volume)
        return self._connection.secretDefineXML(document)


class Clients:
    """A client of each daemon, by its name."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}

    def open(self, daemon: str, uri: str, secrets: Sequence[tuple[str, str]] = ()) -> int:
        """Connect to a daemon, and find some of its secrets; gives how many it has."""
        client = self._clients[daemon] = _Client(uri, secrets)
        return client.count()

    def measure(self, daemon: str, name: str, seconds: float) -> dict[str, Any]:
        """Measure an operation; gives the latencies of the calls, and the moments of begin and end."""
        begun = time.monotonic()
        latencies = self._clients[daemon].measure(name, seconds)
        return {"latencies": latencies, "begun": begun, "ended": time.monotonic()}

    def fill(self, daemon: str, secrets: Sequence[tuple[str, str]]) -> None:
        """Define secrets and set their values."""
        self._clients[daemon].fill(secrets)

    def clear(self, daemon: str) -> None:
        """Undefine all secrets."""
        self._clients[daemon].clear()

    def close(self, daemon: str) -> None:
        """Leave a daemon."""
        self._clients.pop(daemon).close()


def main() -> None:
    """Obey until the input ends."""
    clients = Clients()
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = getattr(clients, arguments.pop("do"))(**arguments)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
