"""A client by libvirt's own Python binding: a program for Debian's python3, which alone has it.

It reads requests, one JSON object a line, and writes what each came to: ``{"result": ...}``, libvirt's own error as
``{"error": [code, domain, level]}``, or ``{"raised": ...}`` where the binding itself refuses.  A secret is named by its
UUID, and is the object that the connection had last for it, however stale that is; else it is looked up.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import libvirt  # type: ignore[import-not-found]  # Debian's, which is not in any venv

_DEADLINE_S = 30.0

Request = dict[str, Any]


class _Client:
    """One connection, and what it was given."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.secrets: dict[str, Any] = {}
        self.callbacks: list[int] = []
        self.events: list[list[Any]] = []
        self.ends: list[int] = []
        self.told = threading.Condition()

    def secret(self, uuid: str) -> Any:
        """Give the object for a secret: what the connection had last for it, or what it finds."""
        if uuid not in self.secrets:
            self.secrets[uuid] = self.connection.secretLookupByUUIDString(uuid)
        return self.secrets[uuid]

    def show(self, result: Any) -> Any:
        """Make a result JSON, and remember the secrets in it."""
        if isinstance(result, libvirt.virSecret):
            self.secrets[result.UUIDString()] = result
            return _named(result)
        if isinstance(result, list):
            # No order is promised.
            return sorted(self.show(each) for each in result)
        if isinstance(result, bytes):
            return {"bytes": base64.b64encode(result).decode()}
        return result

    def lifecycle(self, _: Any, secret: Any, event: int, detail: int, label: str) -> None:
        """Keep an event."""
        self._keep(["lifecycle", label, *_named(secret), event, detail])

    def value_changed(self, _: Any, secret: Any, label: str) -> None:
        """Keep an event."""
        self._keep(["value-changed", label, *_named(secret)])

    def end(self, _: Any, reason: int, __: None) -> None:
        """Note that the connection has ended."""
        with self.told:
            self.ends.append(reason)
            self.told.notify_all()

    def _keep(self, event: list[Any]) -> None:
        with self.told:
            self.events.append(event)
            self.told.notify_all()

    def let_go(self) -> None:
        """Give up everything that keeps the connection open, so that it ends."""
        for callback in self.callbacks:
            # One of them may be gone already, and the connection too.
            with contextlib.suppress(libvirt.libvirtError):
                self.connection.secretEventDeregisterAny(callback)
        self.secrets.clear()
        del self.connection

    def take_events(self, marker: str) -> list[list[Any]]:
        """Wait until an event of the secret ``marker`` has come; give and forget those before it."""
        with self.told:
            if not self.told.wait_for(lambda: any(marker in event for event in self.events), _DEADLINE_S):
                raise TimeoutError(f"no event of {marker}: {self.events}")
            events, self.events = self.events, []
        return [event for event in events if marker not in event]


_clients: dict[str, _Client] = {}


def _named(secret: Any) -> list[Any]:
    return [secret.UUIDString(), secret.usageType(), secret.usageID()]


def _read(argument: Any) -> Any:
    if isinstance(argument, dict) and argument.keys() == {"bytes"}:
        return base64.b64decode(argument["bytes"])
    return argument


def _open(request: Request) -> None:
    if before := _clients.pop(request["on"], None):
        before.let_go()
    opener = libvirt.openReadOnly if request.get("read_only") else libvirt.open
    _clients[request["on"]] = _Client(opener(request["uri"]))


def _call(request: Request) -> Any:
    client = _clients[request["on"]]
    target = client.connection
    if "secret" in request:
        target = client.secret(request["secret"])
    return client.show(getattr(target, request["call"])(*map(_read, request["arguments"])))


def _listen(request: Request) -> Any:
    client = _clients[request["on"]]
    secret = client.secret(request["secret"]) if request.get("secret") else None
    keep = client.lifecycle if request["event"] == libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE else client.value_changed
    client.callbacks.append(client.connection.secretEventRegisterAny(secret, request["event"], keep, request["label"]))
    return client.callbacks[-1]


def _watch_end(request: Request) -> None:
    client = _clients[request["on"]]
    client.connection.registerCloseCallback(client.end, None)


def _wait_for_end(request: Request) -> int:
    """Wait for the end of a connection that is watched; gives libvirt's reason."""
    client = _clients[request["on"]]
    with client.told:
        if not client.told.wait_for(lambda: client.ends, _DEADLINE_S):
            raise TimeoutError("the connection did not end")
    return client.ends[0]


def _take_events(request: Request) -> Any:
    return _clients[request["on"]].take_events(request["marker"])


def _race(request: Request) -> list[str]:
    """Have many threads use one connection, each with a secret of its own; give what went wrong."""
    client = _clients[request["on"]]
    failures: list[str] = []
    numbers = range(request["threads"])
    threads = [
        threading.Thread(target=_runner, args=(client, number, request["rounds"], failures)) for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def _runner(client: _Client, number: int, rounds: int, failures: list[str]) -> None:
    uuid, usage_id = f"{number:08x}-7777-4777-8777-777777777777", f"runner {number}"
    document = f"<secret><uuid>{uuid}</uuid><usage type='ceph'><name>{usage_id}</name></usage></secret>"
    try:
        for turn in range(rounds):
            secret = client.connection.secretDefineXML(document)
            value = f"{number} {turn}".encode()
            secret.setValue(value)
            found = client.connection.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_CEPH, usage_id)
            if (found.UUIDString(), found.value(), uuid in found.XMLDesc()) != (uuid, value, True):
                failures.append(f"{number}, turn {turn}: {found.value()!r} of {found.UUIDString()}")
            secret.undefine()
    except libvirt.libvirtError as error:
        failures.append(f"{number}: {error}")


_ACTS: dict[str, Callable[[Request], Any]] = {
    "open": _open,
    "call": _call,
    "listen": _listen,
    "take-events": _take_events,
    "watch-end": _watch_end,
    "wait-for-end": _wait_for_end,
    "race": _race,
}


def _answer(request: Request) -> dict[str, Any]:
    try:
        return {"result": _ACTS[request["act"]](request)}
    except libvirt.libvirtError as error:
        return {"error": [error.get_error_code(), error.get_error_domain(), error.get_error_level()]}
    except (TypeError, ValueError, OverflowError) as error:
        return {"raised": type(error).__name__}


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _ignore(*_: Any) -> None:
    """Take what libvirt would print."""


def main() -> None:
    """Answer until the requests end."""
    libvirt.registerErrorHandler(_ignore, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_events, daemon=True).start()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
