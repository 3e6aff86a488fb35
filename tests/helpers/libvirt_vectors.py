"""Recordings of what libvirt's daemon answers, and the player that has another daemon answer the same.

A case is a list of steps, each of them a JSON object:

    {"connect": NAME, "socket": "rw" | "ro"}   and with "uid", as another user; with "open", up to OPEN
    {"call": NAME, "frame": HEX, "reply": ...} a call, and what it is answered
    {"send": NAME, "frame": HEX}               bytes that need not be a call
    {"settle": NAME, "frames": [...]}          all that has come since, replies first
    {"shut": NAME}, {"close": NAME}            the end of writing, and of the connection

In frames ``<token>`` stands for the system token, ``<uuid N>`` and ``<callback N>`` for what the daemon itself made as
its Nth of this case, and ``<HEX*N>`` for bytes N times over; in answers the same names stand for the same things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from helpers.libvirt_frames import MESSAGE, PROCEDURES, Header
from helpers.libvirt_raw import RawConnection, Said
from helpers.libvirt_target import Target
from helpers.tree import ROOT

_PATH = ROOT / "tests" / "vectors" / "libvirt-calls.json"

_REGISTER = PROCEDURES["EVENT_REGISTER_ANY"].number
_EVENTS = {PROCEDURES[name].number for name in ("EVENT_LIFECYCLE", "EVENT_VALUE_CHANGED")}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLACE = re.compile(r"<([^<>]+)>")
_REPEATED = re.compile(r"([0-9a-f]+)\*([0-9]+)")

Step = dict[str, Any]
Observed = list[Any]
"""What a daemon answered at each step: a frame, several, or None where a step asks nothing."""


@cache
def recordings() -> Mapping[str, Any]:
    """Read the file of recordings."""
    contents: Mapping[str, Any] = json.loads(_PATH.read_text(encoding="ascii"))
    return contents


def recorded(name: str, version: str) -> Observed:
    """Give what a libvirtd of this version answered in a case."""
    case = recordings()["cases"][name]
    otherwise = case.get(version, {})
    return [otherwise.get(str(at), step.get("reply", step.get("frames"))) for at, step in enumerate(case["steps"])]


def play(name: str, target: Target) -> Observed:
    """Have a daemon, which has no secrets yet, answer a case."""
    with ExitStack() as stack:
        player = _Player(target, _Made(frozenset(recordings()["uuids"])), stack)
        return [player.step(step) for step in recordings()["cases"][name]["steps"]]


@dataclass(slots=True)
class _Made:
    """What the daemon made up itself, by names that are the same for each daemon."""

    known_uuids: frozenset[str]
    _names: dict[str, str] = field(default_factory=dict)
    _hex: dict[str, str] = field(default_factory=dict)

    def uuid(self, text: str) -> str:
        if text in self.known_uuids:
            return text
        return self._name("uuid", text, UUID(text).hex)

    def callback(self, number: int) -> str:
        return self._name("callback", f"callback {number}", number.to_bytes(4, "big").hex())

    def hex(self, name: str) -> str:
        return self._hex[name]

    def _name(self, kind: str, key: str, in_hex: str) -> str:
        if key not in self._names:
            name = f"{kind} {sum(known.startswith(kind) for known in self._hex) + 1}"
            self._names[key] = f"<{name}>"
            self._hex[name] = in_hex
        return self._names[key]

    def named(self, said: Said) -> Said:
        """Put names for what is the daemon's own into what a frame says."""
        named: Said = json.loads(_UUID.sub(lambda found: self.uuid(found[0]), json.dumps(said)))
        if said.get("kind") == MESSAGE and said["procedure"] in _EVENTS and "result" in said:
            named["result"][0] = self.callback(said["result"][0])
        return named


@dataclass(slots=True)
class _Player:
    target: Target
    made: _Made
    stack: ExitStack
    connections: dict[str, RawConnection] = field(default_factory=dict)

    def step(self, step: Step) -> Any:
        """Do one step; gives what it was answered."""
        act = next(name for name in _STEPS if name in step)
        return _STEPS[act](self, step[act], step)

    def connect(self, name: str, step: Step) -> None:
        connection = RawConnection(self.target, step["socket"], step.get("uid"))
        self.connections[name] = self.stack.enter_context(connection)
        if step.get("open"):
            connection.open(self.target.uri)

    def call(self, name: str, step: Step) -> Said:
        call = self._frame(step)
        said = self.connections[name].exchange(call)
        if Header.of(call).procedure == _REGISTER and "result" in said:
            return {"result": [self.made.callback(said["result"][0])]}
        return self.made.named(said)

    def send(self, name: str, step: Step) -> None:
        self.connections[name].send(self._frame(step))

    def settle(self, name: str, step: Step) -> list[Said]:
        return [self.made.named(said) for said in self.connections[name].settle(len(step["frames"]))]

    def shut(self, name: str, _: Step) -> None:
        self.connections[name].shut_writing()

    def close(self, name: str, _: Step) -> None:
        self.connections[name].socket.close()

    def _frame(self, step: Step) -> bytes:
        return bytes.fromhex(_PLACE.sub(self._in_place, step["frame"]))

    def _in_place(self, found: re.Match[str]) -> str:
        if repeated := _REPEATED.fullmatch(found[1]):
            return repeated[1] * int(repeated[2])
        if found[1] == "token":
            return self.target.token.read_bytes().hex()
        return self.made.hex(found[1])


_STEPS: Mapping[str, Callable[[_Player, str, Step], Any]] = {
    "connect": _Player.connect,
    "call": _Player.call,
    "send": _Player.send,
    "settle": _Player.settle,
    "shut": _Player.shut,
    "close": _Player.close,
}


def first_difference(name: str, expected: Observed, observed: Observed) -> str:
    """Show the first step of a case that was answered otherwise, or "" if there is none."""
    for step, wanted, got in zip(recordings()["cases"][name]["steps"], expected, observed, strict=True):
        if wanted != got:
            asked = {key: part for key, part in step.items() if key not in {"reply", "frames"}}
            return f"{json.dumps(asked)[:600]}\n  libvirt: {json.dumps(wanted)}\n  it:      {json.dumps(got)}"
    return ""
