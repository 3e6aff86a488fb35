"""The bodies of libvirt's RPC: recorded frames as the judge, and what holds for any bytes."""

from __future__ import annotations

import json
import math
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.libvirt_bodies import DECODERS, weight
from secretd import limits
from secretd.model import UsageType
from secretd.wire import libvirt_bodies as bodies
from secretd.wire import xdr
from secretd.wire.libvirt import LibvirtFraming, Packet, frame
from secretd.wire.libvirt_procedures import PROGRAM, USAGE_NUMBERS, USAGE_TYPES, Kind, Procedure, Status
from secretd.wire.xdr import Decoder, XdrError

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "libvirt-frames.json").read_text(encoding="ascii")
)["vectors"]

A = bytes.fromhex("00000001111142228333444444444444")


def chosen(*, calls: bool, refused: bool = False) -> list[Any]:
    """Give the vectors that are calls, or those that the daemon sent, named."""
    of_calls = (Kind.CALL, Kind.CALL_WITH_FDS)
    kept = [
        vector
        for vector in VECTORS
        if (vector["kind"] in of_calls) == calls and vector.get("refused", False) == refused
    ]
    return [pytest.param(vector, id=vector["name"]) for vector in kept]


def received(vector: dict[str, Any]) -> Packet:
    framing = LibvirtFraming()
    framing.receive(bytes.fromhex(vector["hex"]))
    packet = framing.next_event()
    assert isinstance(packet, Packet)
    return packet


def read(packet: Packet) -> object:
    return DECODERS.get(Procedure(packet.procedure), bodies.no_args)(packet.body)


def as_json(value: object) -> object:
    """Say what was read as the vectors say it: bytes in hex."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return [as_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return [from_json(item) for item in value] if isinstance(value, list) else value


def test_the_vectors_are_there() -> None:
    assert len(chosen(calls=True)) > 40
    assert len(chosen(calls=True, refused=True)) > 10
    assert len(chosen(calls=False)) > 20
    called = {vector["procedure"] for vector in VECTORS if vector["kind"] == Kind.CALL}
    assert called >= set(DECODERS)


@pytest.mark.parametrize("vector", [*chosen(calls=True), *chosen(calls=True, refused=True), *chosen(calls=False)])
def test_a_recorded_frame_is_its_header_and_its_body(vector: dict[str, Any]) -> None:
    packet = received(vector)
    plain = Kind.CALL if vector["kind"] == Kind.CALL_WITH_FDS else vector["kind"]
    assert packet[:6] == (vector["program"], 1, vector["procedure"], plain, vector["serial"], vector["status"])
    if plain == vector["kind"]:
        assert frame(*packet[:7]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", chosen(calls=True))
def test_a_recorded_call_is_read(vector: dict[str, Any]) -> None:
    assert as_json(read(received(vector))) == vector["decoded"]


@pytest.mark.parametrize("vector", chosen(calls=True, refused=True))
def test_what_libvirts_daemon_could_not_decode(vector: dict[str, Any]) -> None:
    with pytest.raises(XdrError):
        read(received(vector))


def listed(secrets: list[list[Any]], number: int) -> bytes:
    return bodies.secrets_reply([bodies.secret(*secret) for secret in secrets], len(secrets), number)


WRITERS: dict[int, Callable[..., bytes]] = {
    Procedure.CONNECT_SUPPORTS_FEATURE: bodies.int_reply,
    Procedure.CONNECT_GET_TYPE: bodies.string_reply,
    Procedure.CONNECT_GET_URI: bodies.string_reply,
    Procedure.CONNECT_GET_LIB_VERSION: bodies.uint64_reply,
    Procedure.AUTH_LIST: bodies.auth_types_reply,
    Procedure.CONNECT_NUM_OF_SECRETS: bodies.int_reply,
    Procedure.CONNECT_LIST_SECRETS: lambda ids: bodies.strings_reply(map(bodies.string_reply, ids), len(ids)),
    Procedure.SECRET_DEFINE_XML: lambda secret: bodies.secret(*secret),
    Procedure.SECRET_LOOKUP_BY_UUID: lambda secret: bodies.secret(*secret),
    Procedure.SECRET_LOOKUP_BY_USAGE: lambda secret: bodies.secret(*secret),
    Procedure.SECRET_GET_XML_DESC: bodies.string_reply,
    Procedure.SECRET_GET_VALUE: bodies.opaque_reply,
    Procedure.CONNECT_LIST_ALL_SECRETS: listed,
    Procedure.CONNECT_SECRET_EVENT_REGISTER_ANY: bodies.int_reply,
    Procedure.SECRET_EVENT_LIFECYCLE: lambda callback, secret, event, detail: bodies.lifecycle_event(
        callback, bodies.secret(*secret), event, detail
    ),
    Procedure.SECRET_EVENT_VALUE_CHANGED: lambda callback, secret: bodies.value_changed_event(
        callback, bodies.secret(*secret)
    ),
}


@pytest.mark.parametrize("vector", chosen(calls=False))
def test_what_the_daemon_sent_is_written_alike(vector: dict[str, Any]) -> None:
    given_values = from_json(vector["decoded"])
    writers = WRITERS if vector["program"] == PROGRAM else {}
    write = bodies.error if vector["status"] == Status.ERROR else writers.get(vector["procedure"], lambda: b"")
    assert write(*given_values) == received(vector).body


def test_the_end_of_a_connection_is_told_by_its_reason() -> None:
    assert bodies.connection_closed(2).hex() == "00000002"


def test_an_error_of_another_level() -> None:
    decoder = Decoder(bodies.error(1, 2, "é", level=1))
    assert (decoder.int32(), decoder.int32(), decoder.optional(), decoder.string(9)) == (1, 2, True, "é".encode())
    assert decoder.int32() == 1


# Arguments at their bounds.

SECRET = A + bytes(8)
LONG_STRING = xdr.string(b"x" * limits.LIBVIRT_STRING_BYTES)
TOO_LONG_STRING = xdr.string(b"x" * (limits.LIBVIRT_STRING_BYTES + 1))
LONG_VALUE = b"x" * limits.VALUE_BYTES
NO_FLAGS = xdr.uint32(0)
PARAMETER = xdr.string("n") + xdr.int32(1) + xdr.int32(-1)

BOUNDS = [
    pytest.param(bodies.open_args, xdr.uint32(1), id="uri"),
    pytest.param(bodies.define_args, b"", id="document"),
    pytest.param(bodies.secret_flags_args, A + bytes(4), id="usage-id-of-a-secret"),
    pytest.param(bodies.usage_args, bytes(4), id="usage-id"),
    pytest.param(bodies.register_args, xdr.int32(1) + xdr.uint32(1) + A + bytes(4), id="usage-id-of-an-event"),
    pytest.param(bodies.identity_args, xdr.uint32(1) + xdr.string("n") + xdr.int32(7), id="typed-parameter"),
]


@pytest.mark.parametrize(("decode", "before"), BOUNDS)
def test_the_longest_string(decode: Callable[[bytes], object], before: bytes) -> None:
    decode(before + LONG_STRING + NO_FLAGS)
    with pytest.raises(XdrError):
        decode(before + TOO_LONG_STRING + NO_FLAGS)


def test_the_longest_value() -> None:
    read_back = bodies.set_value_args(SECRET + xdr.opaque(LONG_VALUE) + NO_FLAGS)
    assert read_back == (A, LONG_VALUE, 0)
    with pytest.raises(XdrError):
        bodies.set_value_args(SECRET + xdr.opaque(LONG_VALUE + b"x") + NO_FLAGS)


@pytest.mark.parametrize(("number", "fits"), [(20, True), (21, False)])
def test_the_most_typed_parameters(number: int, fits: bool) -> None:
    body = xdr.uint32(number) + PARAMETER * number + NO_FLAGS
    if fits:
        assert bodies.identity_args(body) == (((b"n", 1, -1),) * 20, 0)
    else:
        with pytest.raises(XdrError):
            bodies.identity_args(body)


HUGE = [
    pytest.param(bodies.define_args, xdr.uint32(limits.LIBVIRT_STRING_BYTES), id="document"),
    pytest.param(bodies.set_value_args, SECRET + xdr.uint32(limits.VALUE_BYTES), id="value"),
    pytest.param(bodies.secret_args, A + bytes(4) + xdr.uint32(limits.LIBVIRT_STRING_BYTES), id="usage-id"),
    pytest.param(bodies.identity_args, xdr.uint32(limits.LIBVIRT_IDENTITY_PARAMETERS), id="typed-parameters"),
]


@pytest.mark.parametrize(("decode", "body"), HUGE)
def test_a_length_without_its_bytes_costs_nothing(decode: Callable[[bytes], object], body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(XdrError):
            decode(body + b"x")
        assert tracemalloc.get_traced_memory()[1] < 32_768
    finally:
        tracemalloc.stop()


# The numbers.


def test_every_usage_type_has_a_number() -> None:
    assert set(USAGE_TYPES.values()) == set(UsageType)
    assert {USAGE_TYPES[number]: number for number in range(6)} == USAGE_NUMBERS


# Properties.

RECORDED = [
    vector
    for vector in chosen(calls=True)
    if vector.values[0]["procedure"] in DECODERS and vector.id != "get-value-bytes-behind"
]


@pytest.mark.parametrize("decode", dict.fromkeys(DECODERS.values()), ids=lambda decode: decode.__name__)
@given(
    body=st.binary(max_size=80)
    | st.lists(st.integers(0, 24)).map(lambda words: b"".join(map(xdr.uint32, words)))
    | st.binary(min_size=28, max_size=28).map(lambda start: start[:16] + bytes(8) + start[24:])
)
def test_any_bytes_give_arguments_or_are_refused(decode: Callable[[bytes], object], body: bytes) -> None:
    try:
        arguments = decode(body)
    except XdrError:
        return
    assert weight(arguments) <= len(body)
    # A double may be no number, which is equal to nothing.
    assert repr(decode(body + b"behind")) == repr(arguments)


texts = st.binary(max_size=20).filter(lambda text: 0 not in text)
flags = st.integers(0, 2**32 - 1)
numbers = st.integers(-(2**31), 2**31 - 1)
uuids = st.binary(min_size=16, max_size=16)


@given(texts | st.none(), texts, st.binary(max_size=20), uuids, numbers, flags)
def test_arguments_come_back(uri: bytes | None, text: bytes, value: bytes, uuid: bytes, number: int, flag: int) -> None:
    secret, end = bodies.secret(uuid, number, text), xdr.uint32(flag)
    assert bodies.open_args(xdr.optional_string(uri) + end) == (uri, flag)
    assert bodies.define_args(xdr.string(text) + end) == (text, flag)
    assert bodies.secret_args(secret) == uuid
    assert bodies.secret_flags_args(secret + end) == (uuid, flag)
    assert bodies.set_value_args(secret + xdr.opaque(value) + end) == (uuid, value, flag)
    assert bodies.usage_args(xdr.int32(number) + xdr.string(text)) == (number, text)
    assert bodies.register_args(xdr.int32(number) + xdr.uint32(1) + secret) == (number, uuid)
    assert bodies.list_all_args(xdr.int32(number) + end) == (number, flag)


@given(st.floats(), st.integers(0, 2**64 - 1))
def test_typed_parameters_come_back(number: float, large: int) -> None:
    double = xdr.string("d") + xdr.int32(5) + struct.pack(">d", number)
    body = xdr.uint32(2) + double + xdr.string("n") + xdr.int32(4) + xdr.uint64(large) + NO_FLAGS
    ((_, _, read_number), read_large), _ = bodies.identity_args(body)
    assert read_number == number or (isinstance(read_number, float) and math.isnan(read_number))
    assert read_large == (b"n", 4, large)


@pytest.mark.parametrize("vector", RECORDED)
def test_a_recorded_body_cut_off_anywhere_is_refused(vector: dict[str, Any]) -> None:
    packet = received(vector)
    decode = DECODERS[Procedure(packet.procedure)]
    for end in range(len(packet.body)):
        with pytest.raises(XdrError):
            decode(packet.body[:end])
