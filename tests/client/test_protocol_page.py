"""docs/protocol.md held against the code: its examples are what is written and read, its tables are whole."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from enum import EnumMeta
from itertools import chain
from pathlib import Path

import pytest

from secretd import limits
from secretd.client import read_secret, write_secret
from secretd.crypto.blob import open_blob, peek_blob
from secretd.crypto.context import spell_context
from secretd.documents.events import is_event, read_event, write_event
from secretd.documents.key import read_key, write_key
from secretd.documents.messages import open_request, read_reply, write_request
from secretd.errors import WIRE_ERRORS
from secretd.fields import fields_of
from secretd.grants import Grant
from secretd.model import SecretValue, UsageType
from secretd.operations import BY_NAME, EVENTS, OPERATIONS, Reply, Request

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
EXAMPLES = re.findall(r"^    (?:[<>] )?(<(?:request|reply)\b.*)$", PAGE, re.MULTILINE)
REQUESTS = [example.encode() for example in EXAMPLES if example.startswith("<request")]
REPLIES = [example.encode() for example in EXAMPLES if example.startswith("<reply")]
CONVERSATION = re.findall(r"^    ([<>]) (.*)$", PAGE, re.MULTILINE)


def carried(body: bytes) -> SecretValue | None:
    """Give what would have come beside an example that announces a descriptor."""
    return SecretValue(b"open sesame") if b"<value descriptor='yes'/>" in body else None


@pytest.mark.parametrize("body", REQUESTS, ids=bytes.decode)
def test_each_request_is_one(body: bytes) -> None:
    document = open_request(body)
    request = document.read(carried(body))
    again = open_request(write_request(document.serial, request, descriptor=document.descriptor))
    assert (again.serial, again.descriptor, again.read(None)) == (document.serial, document.descriptor, request)


@pytest.mark.parametrize("body", REPLIES, ids=bytes.decode)
def test_each_reply_is_one(body: bytes) -> None:
    document = read_reply(body)
    assert (document.serial is None) != (document.message is None)
    if document.error is None:
        assert document.read(asked_by(body), carried(body)) is not None


def enum_fields(records: Iterable[type]) -> Iterator[tuple[str, EnumMeta]]:
    """List the attributes whose words are an enum's, down to the parts of parts."""
    for field in chain.from_iterable(map(fields_of, records)):
        if field.many and field.type is not Grant:  # which is written in a way of its own
            yield from enum_fields([field.type])
        elif isinstance(field.type, EnumMeta):
            yield field.xml_name, field.type


def words_by_attribute() -> dict[str, set[str]]:
    words: dict[str, set[str]] = {}
    for name, enum in enum_fields(chain.from_iterable((row.request, row.reply) for row in OPERATIONS)):
        words.setdefault(name, set()).update(enum._value2member_map_)
    return words


WORDS = words_by_attribute()


def test_there_are_attributes_with_words() -> None:
    assert {"mode", "state", "kind", "name", "usage-type"} <= set(WORDS)


@pytest.mark.parametrize(("attribute", "words"), WORDS.items(), ids=list(WORDS))
def test_the_words_in_examples_are_those_of_the_enum(attribute: str, words: set[str]) -> None:
    shown = re.findall(rf" {attribute}='([^']*)'", re.sub("<key .*?</key>", "", "".join(EXAMPLES)))

    assert shown
    assert set(shown) <= words


def asked_by(body: bytes) -> type[Request[Reply]]:
    """Find what a reply answers: the operation its element is named by."""
    found = re.match(rb"<reply [^>]*><([a-z-]+)", body)
    assert found
    return BY_NAME[found[1].decode()].request


def test_the_conversation_has_every_operation_and_answers_it() -> None:
    sent = [body.encode() for side, body in CONVERSATION if side == ">"]
    received = [body.encode() for side, body in CONVERSATION if side == "<"]
    answered = [read_reply(body) for body in received if not is_event(body)]
    requests = {document.serial: document for document in map(open_request, filter(is_request, sent))}
    assert {document.operation.name for document in requests.values()} == set(BY_NAME)
    by_serial = {reply.serial: reply for reply in answered if reply.serial is not None}
    assert by_serial.keys() == requests.keys()
    for serial, reply in by_serial.items():
        if reply.error is None:
            assert isinstance(reply.read(requests[serial].operation.request), requests[serial].operation.reply)
    by_ordinal = [reply.message for reply in answered if reply.message is not None]
    assert by_ordinal == [place for place, body in enumerate(sent, 1) if not is_request(body)]
    assert by_ordinal


def test_every_event_is_shown_as_it_is_written() -> None:
    shown = [body.encode() for side, body in CONVERSATION if side == "<" and is_event(body.encode())]
    events = [read_event(body) for body in shown]
    # What the schema promises of "changed" it promises of "defined".
    assert {type(event) for event in events} == set(EVENTS.values()) - {EVENTS["changed"]}
    assert [write_event(event) for event in events] == shown


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_its_line(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", section("## Events"), re.MULTILINE)


def is_request(body: bytes) -> bool:
    return body.startswith(b"<request")


def test_the_document_is_written_as_it_is_shown() -> None:
    found = re.search(r"^    <secret .*?^    </secret>\n", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    shown = re.sub(r"^    ", "", found[0], flags=re.MULTILINE)
    assert write_secret(read_secret(shown.encode())) == shown


def test_the_key_is_written_as_it_is_shown() -> None:
    found = re.search(r"^    <key .*?^    </key>\n", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    shown = re.sub(r"^    ", "", found[0], flags=re.MULTILINE)
    assert write_key(read_key(shown.encode())) == shown


def test_the_blobs_are_what_a_key_seals() -> None:
    """They open under the bytes that docs/storage-format.md has for its own blob."""
    shown = set(re.findall("<blob>([^<]+)</blob>", "".join(EXAMPLES)))
    assert len(shown) == 3
    opened = set()
    for blob in map(b64decode, shown):
        sealer = peek_blob(blob)
        assert sealer is not None
        assert (sealer.key, sealer.version) == ("nightly", 2)
        opened.add(open_blob(bytes(range(0x40, 0x60)), sealer, spell_context({"datastore": "tank"}), blob))
    assert opened == {b"Z" * 32, b"open sesame"}


def test_every_code_has_its_line() -> None:
    codes = re.findall(r"^\| `([a-z-]+)` \| .+ \| .+ \|$", section("### Errors"), re.MULTILINE)
    assert sorted(codes) == sorted(WIRE_ERRORS)


def test_every_usage_type_has_its_line() -> None:
    words = re.findall(r"^\| `([a-z]+)` \| (?:`<|no element)", section("### The secret's document"), re.MULTILINE)
    assert set(words) == {kind.value for kind in UsageType}


@pytest.mark.parametrize(
    "limit",
    [
        limits.MESSAGE_BYTES,
        limits.VALUE_BYTES,
        limits.DOCUMENT_BYTES,
        limits.DESCRIPTION_BYTES,
        limits.USAGE_ID_BYTES,
        limits.KEY_DESCRIPTION_BYTES,
        limits.KEY_DOCUMENT_BYTES,
        limits.BLOB_BYTES,
    ],
)
def test_bounds_are_the_ones_in_force(limit: limits.Limit) -> None:
    assert f"{limit:,} bytes" in PAGE


def test_the_other_bounds_are_the_ones_in_force() -> None:
    assert f"from 0 to {int(limits.SERIAL)}" in PAGE
    assert f"Beyond {limits.REQUESTS_IN_FLIGHT} unanswered" in PAGE
    assert f"{limits.REPLY_BYTES_WAITING >> 20} MiB of replies" in PAGE
    assert f"at most {limits.DRAIN_SECONDS} seconds" in PAGE
    assert f"{limits.SUBSCRIBED_SECRETS} ids" in PAGE
    assert f"{limits.EVENT_BYTES_WAITING >> 10} KiB of events" in PAGE
    assert f"{limits.EVENTS_BACKLOG:,} changes" in PAGE


def section(title: str) -> str:
    """Give the text under a heading, up to the next one."""
    return re.split(r"^#", PAGE.split(f"{title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
