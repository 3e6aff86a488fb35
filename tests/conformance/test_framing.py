"""Frames that are cut, drawn out, mislabelled or nonsense: secretd answers, waits or hangs up as libvirtd does."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from helpers.libvirt_both import Pair
from helpers.libvirt_frames import (
    CALL_WITH_FDS,
    KEEPALIVE,
    MESSAGE,
    MOST_BYTES,
    PROCEDURES,
    STREAM,
    arguments_of,
    frame,
)
from helpers.libvirt_raw import END, RawConnection, Said
from helpers.libvirt_target import Target
from secretd import limits

ONE = UUID("00000001-1111-4222-8333-444444444444")
SECRET = (ONE, 2, "one")
DOCUMENT = f"<secret><uuid>{ONE}</uuid><usage type='ceph'><name>one</name></usage></secret>"

SERIAL = 7
RPC_ERROR = {"error": [39, 7, 2]}
GET_TYPE = frame("GET_TYPE", serial=SERIAL)
GET_URI = frame("GET_URI", serial=SERIAL + 1)
LOOKUP = frame("LOOKUP_BY_UUID", ONE, serial=SERIAL)

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "OPEN": ("secret:///nowhere", 0),
    "SUPPORTS_FEATURE": (10,),
    "LIST_SECRETS": (10,),
    "LOOKUP_BY_UUID": (ONE,),
    "DEFINE_XML": (DOCUMENT, 0),
    "GET_XML_DESC": (SECRET, 0),
    "SET_VALUE": (SECRET, b"value", 0),
    "GET_VALUE": (SECRET, 0),
    "UNDEFINE": (SECRET,),
    "LOOKUP_BY_USAGE": (2, "one"),
    "LIST_ALL_SECRETS": (1, 0),
    "EVENT_REGISTER_ANY": (0, SECRET),
    "EVENT_DEREGISTER_ANY": (1_000_000,),
    "SET_IDENTITY": ([("user-name", "string", "x"), ("process-id", "llong", 1)], 0),
}
"""Of every procedure that takes any."""


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def opened(target: Target) -> RawConnection:
    connection = RawConnection(target)
    connection.open(target.uri)
    connection.call("DEFINE_XML", DOCUMENT, 0)
    return connection


def compare(pair: Pair, ask: Callable[[RawConnection], Any]) -> Any:
    """Do the same to an open connection of each daemon; gives what both answered."""
    answers = []
    for target in pair:
        with opened(target) as connection:
            answers.append(ask(connection))
    assert answers[0] == answers[1]
    return answers[1]


def ask_in_one_piece(data: bytes, expected: int) -> Callable[[RawConnection], tuple[list[Said], Said]]:
    """Send bytes; gives what came at once, and what a sound call is answered afterwards."""

    def ask(connection: RawConnection) -> tuple[list[Said], Said]:
        connection.send(data)
        return connection.settle(expected), connection.exchange(GET_URI)

    return ask


LENGTHS = [0, 1, 2, 3, 4, MOST_BYTES + 1, 2 * MOST_BYTES, 2**31 - 1, 2**31, 2**32 - 1]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("rest", [b"", GET_TYPE[4:]], ids=["alone", "before-a-frame"])
def test_a_length_that_no_frame_has_ends_the_connection(pair: Pair, length: int, rest: bytes) -> None:
    said, _ = compare(pair, ask_in_one_piece(struct.pack(">I", length) + rest, 1))

    assert said == [END]


@pytest.mark.parametrize("length", [5, 16, 24, 27])
def test_a_length_too_small_for_a_header_ends_the_connection(pair: Pair, length: int) -> None:
    def ask(connection: RawConnection) -> Said:
        # libvirtd hangs up when all has come, secretd as soon as it knows the length.
        connection.send(struct.pack(">I", length) + bytes(length - 4))
        return connection.receive()

    assert compare(pair, ask) == END


@pytest.mark.parametrize("body_bytes", [262_144 - 28, 262_144 - 27, MOST_BYTES - 28])
def test_a_long_frame_is_read_to_its_end_and_then_answered(pair: Pair, body_bytes: int) -> None:
    call = frame("GET_TYPE", body=bytes(body_bytes), serial=SERIAL)
    is_kept = len(call) <= limits.LIBVIRT_MESSAGE_BYTES
    for target, answer in zip(
        pair, [{"result": ["secret"]}, {"result": ["secret"]} if is_kept else RPC_ERROR], strict=True
    ):
        with opened(target) as connection:
            assert connection.exchange(call) == answer
            assert connection.exchange(GET_TYPE) == {"result": ["secret"]}


def test_a_frame_may_be_cut_anywhere(pair: Pair) -> None:
    def ask(connection: RawConnection) -> list[Said]:
        answers = []
        for at in range(1, len(LOOKUP)):
            connection.send(LOOKUP[:at])
            connection.send(LOOKUP[at:])
            answers.append(connection.receive())
        return answers

    assert all("result" in answer for answer in compare(pair, ask))


@pytest.mark.parametrize("at", range(len(LOOKUP)))
def test_a_frame_that_is_never_completed_is_never_answered(pair: Pair, at: int) -> None:
    def ask(connection: RawConnection) -> Said:
        connection.send(LOOKUP[:at])
        connection.shut_writing()
        return connection.receive()

    assert compare(pair, ask) == END


def test_bytes_may_come_one_by_one_and_frames_all_at_once(pair: Pair) -> None:
    def ask(connection: RawConnection) -> list[Said]:
        for byte in GET_TYPE:
            connection.send(bytes([byte]))
        connection.send(b"".join(frame("GET_TYPE", serial=number) for number in range(100, 150)))
        return connection.settle(51)

    assert len(compare(pair, ask)) == 51


HEADERS: dict[str, tuple[bytes, int]] = {
    **{
        f"program-{program:#x}": (frame("GET_TYPE", program=program, serial=SERIAL), 1)
        for program in (0, 1, 0x1234_5678, 0x2000_8088, 0x0690_0690, 2**32 - 1)
    },
    **{f"version-{v}": (frame("GET_TYPE", version=v, serial=SERIAL), 1) for v in (0, 2, 2**32 - 1)},
    **{
        f"procedure-{procedure}": (frame(procedure, serial=SERIAL), 1)
        for procedure in (0, -1, -(2**31), 2**31 - 1, 9_999, 500, 65_539, 107, 362, 382, 383)
    },
    "procedure-unknown-with-a-body": (frame(9_999, body=b"garbage!" * 100, serial=SERIAL), 1),
    **{f"type-{kind}": (frame("GET_TYPE", kind=kind, serial=SERIAL), 0) for kind in (1, 2, 3, 5, 6, 7, 100, -1)},
    **{
        f"type-{kind}-of-an-unknown-program": (frame("GET_TYPE", kind=kind, program=0x1234, serial=SERIAL), 0)
        for kind in (1, 2, 3, 9)
    },
    **{f"type-{kind}-unknown-procedure": (frame(9_999, kind=kind, serial=SERIAL), 0) for kind in (1, 2)},
    **{f"status-{status}": (frame("GET_TYPE", status=status, serial=SERIAL), 1) for status in (1, 2, 3, 100, -1)},
    **{
        f"stream-status-{status}": (frame("GET_TYPE", kind=STREAM, status=status, serial=SERIAL), 0)
        for status in (1, 2)
    },
    **{f"serial-{serial}": (frame("GET_TYPE", serial=serial), 1) for serial in (0, 2**31, 2**32 - 1)},
    "serial-twice": (GET_TYPE * 2, 2),
    "descriptors-none": (frame("GET_TYPE", body=bytes(4), kind=CALL_WITH_FDS, serial=SERIAL), 1),
    "descriptors-none-and-a-body": (
        frame("SUPPORTS_FEATURE", body=bytes(7) + b"\n", kind=CALL_WITH_FDS, serial=SERIAL),
        1,
    ),
    "descriptors-without-a-count": (frame("GET_TYPE", kind=CALL_WITH_FDS, serial=SERIAL), 1),
    "descriptors-33": (frame("GET_TYPE", body=b"\0\0\0!", kind=CALL_WITH_FDS, serial=SERIAL), 1),
    "descriptors-without-end": (frame("GET_TYPE", body=b"\xff" * 4, kind=CALL_WITH_FDS, serial=SERIAL), 1),
    **{
        f"keepalive-{procedure}-of-type-{kind}": (
            frame(procedure, program=KEEPALIVE, kind=kind, serial=0),
            int(kind == 0 or (procedure, kind) == (1, MESSAGE)),
        )
        for procedure in (0, 1, 2, 99)
        for kind in (0, 1, MESSAGE, 3)
    },
    "keepalive-of-another-version": (frame(1, program=KEEPALIVE, kind=MESSAGE, version=2, serial=0), 0),
    "keepalive-many": (frame(1, program=KEEPALIVE, kind=MESSAGE, serial=0) * 100, 100),
}
"""Headers that are not as they should be, and how many frames answer them."""


@pytest.mark.parametrize(("data", "answers"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_is_answered_in_the_same_way(pair: Pair, data: bytes, answers: int) -> None:
    said, _ = compare(pair, ask_in_one_piece(data, answers))

    assert len(said) == answers


@pytest.mark.parametrize("count", [1, 2, 32])
def test_descriptors_are_taken_and_let_go(pair: Pair, count: int) -> None:
    def ask(connection: RawConnection) -> tuple[list[Said], Said]:
        connection.send(frame("GET_TYPE", body=number(count), kind=CALL_WITH_FDS, serial=SERIAL))
        for _ in range(count):
            # As libvirt's clients do: each behind the frame, with a byte of its own.
            socket.send_fds(connection.socket, [b"\0"], [connection.socket.fileno()])
        return connection.settle(1), connection.exchange(GET_URI)

    said, _ = compare(pair, ask)
    assert said[0]["result"] == ["secret"]


def test_a_descriptor_that_was_not_announced_is_passed_over(pair: Pair) -> None:
    def ask(connection: RawConnection) -> tuple[list[Said], Said]:
        socket.send_fds(connection.socket, [GET_TYPE], [connection.socket.fileno()])
        return connection.settle(1), connection.exchange(GET_URI)

    said, _ = compare(pair, ask)
    assert said[0]["result"] == ["secret"]


def test_an_announced_descriptor_that_does_not_come_ends_the_connection(pair: Pair) -> None:
    announcing = frame("GET_TYPE", body=number(1), kind=CALL_WITH_FDS, serial=SERIAL)

    said, _ = compare(pair, ask_in_one_piece(announcing + GET_TYPE, 1))

    assert said == [END]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_body_may_be_cut_anywhere(pair: Pair, name: str) -> None:
    whole = arguments_of(name, *ARGUMENTS[name])

    def ask(connection: RawConnection) -> list[Said]:
        return [connection.call(name, body=whole[:at]) for at in range(len(whole))]

    assert all("error" in said for said in compare(pair, ask))


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("behind", [b"\0", bytes(4), b"garbage!" * 10], ids=["one-byte", "four-bytes", "garbage"])
def test_what_stands_behind_a_body_is_passed_over(pair: Pair, name: str, behind: bytes) -> None:
    whole = arguments_of(name, *ARGUMENTS[name])

    compare(pair, lambda connection: (connection.call(name, body=whole + behind), connection.call("GET_TYPE")))


BODIES: dict[str, tuple[str, bytes]] = {
    **{
        f"string-of-{size}": ("DEFINE_XML", number(size) + b"abcd" + number(0))
        for size in (5, 1_000, 4_194_304, 4_194_305, 2**31, 2**32 - 1)
    },
    "string-unpadded": ("LOOKUP_BY_USAGE", number(2) + number(1) + b"a"),
    "string-half-padded": ("LOOKUP_BY_USAGE", number(2) + number(1) + b"a\0\0"),
    "string-padded-oddly": ("LOOKUP_BY_USAGE", number(2) + number(3) + b"oneX"),
    "string-with-a-zero-byte": ("LOOKUP_BY_USAGE", arguments_of("LOOKUP_BY_USAGE", 2, b"one\0more")),
    "string-not-utf-8": ("LOOKUP_BY_USAGE", arguments_of("LOOKUP_BY_USAGE", 2, b"\xff\xfe")),
    "document-not-utf-8": ("DEFINE_XML", arguments_of("DEFINE_XML", b"<secret>\xff</secret>", 0)),
    "document-with-a-zero-byte": ("DEFINE_XML", arguments_of("DEFINE_XML", DOCUMENT.encode() + b"\0junk", 0)),
    **{
        f"value-of-{size}": ("SET_VALUE", ONE.bytes + bytes(8) + number(size) + b"ab" + bytes(2))
        for size in (50, 65_536, 65_537, 2**31, 2**32 - 1)
    },
    "value-padded-oddly": ("SET_VALUE", ONE.bytes + bytes(8) + number(1) + b"vXYZ" + number(0)),
    "usage-beyond-the-end": ("GET_VALUE", ONE.bytes + bytes(4) + number(100) + bytes(4)),
    **{
        f"optional-{there}": ("EVENT_REGISTER_ANY", number(0) + number(there) + ONE.bytes + bytes(8))
        for there in (2, 3, 2**31, 2**32 - 1)
    },
    **{
        f"parameters-{count}": ("SET_IDENTITY", number(count) + bytes(16))
        for count in (1, 20, 21, 16_384, 2**31, 2**32 - 1)
    },
    "parameter-beyond-the-end": ("SET_IDENTITY", number(1) + number(500) + b"abcd"),
    **{
        f"parameter-of-type-{kind}": ("SET_IDENTITY", number(1) + number(1) + b"a\0\0\0" + number(kind) + bytes(12))
        for kind in (0, 8, 2**32 - 1)
    },
    **{
        f"garbage-{name.lower()}": (name, random.Random(name).randbytes(64))
        for name in PROCEDURES
        # This one tells the version, which differs.
        if name != "GET_LIB_VERSION"
    },
}
"""Bodies whose counts and lengths are not borne out by what follows, and bodies of nonsense."""


@pytest.mark.parametrize(("name", "body"), BODIES.values(), ids=BODIES.keys())
def test_a_body_is_answered_in_the_same_way(pair: Pair, name: str, body: bytes) -> None:
    def ask(connection: RawConnection) -> tuple[Said, Said]:
        said = connection.call(name, body=body)
        if name == "EVENT_REGISTER_ANY" and "result" in said:
            # The number counts on through the life of a daemon.
            said["result"] = ["a number"]
        return said, connection.call("LOOKUP_BY_UUID", ONE)

    compare(pair, ask)


def test_the_same_random_bytes_end_or_keep_the_connection(pair: Pair) -> None:
    for seed in range(40):
        data = random.Random(seed).randbytes(28)
        # A length that is borne out, so that the frame is whole; the rest is nonsense.
        compare(pair, ask_in_one_piece(struct.pack(">I", 32) + data, 0))
