"""The plaintext of attributes: one spelling for one meaning, and everything else refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.core.attributes import from_bytes, to_bytes
from secretd.crypto import canonical
from secretd.errors import StoreCorruptError
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, Reference, ReferenceKind
from secretd.model import Attributes, Usage, UsageType

CASES = [
    pytest.param(
        Attributes(), 0, NOTHING_BEFELL, b'{"description":null,"private":false,"usage":null,"value":0}', id="nothing"
    ),
    pytest.param(
        Attributes(Usage(UsageType.VOLUME, "/a/é"), 'the "first"', private=True),
        7,
        Lifecycle(1, 2, True, (Reference("b}", ReferenceKind.ASSOCIATED), Reference('{"a\\', ReferenceKind.ACTIVE))),
        b'{"description":"the \\"first\\"","lifecycle":{"archived":1,"due":2,"protected":true,"references":'
        b'[["b}","associated"],["{\\"a\\\\","active"]]},"private":true,"usage":["volume","/a/\\u00e9"],"value":7}',
        id="everything",
    ),
]


@pytest.mark.parametrize(("attributes", "counter", "lifecycle", "written"), CASES)
def test_the_one_spelling(attributes: Attributes, counter: int, lifecycle: Lifecycle, written: bytes) -> None:
    assert to_bytes(attributes, counter, lifecycle) == written
    assert from_bytes(written) == (attributes, counter, lifecycle)


def test_what_nothing_befell_is_known_by_being_that() -> None:
    assert from_bytes(to_bytes(Attributes(), 0, Lifecycle()))[2] is NOTHING_BEFELL


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40).filter(
    lambda text: (
        all(character in "\t\n\r" or character >= " " for character in text)
        and not any(0xFFFE <= ord(character) <= 0xFFFF for character in text)
    )
)
usage_types = st.sampled_from([kind for kind in UsageType if kind is not UsageType.NONE])
usages = st.builds(Usage, usage_types, texts.filter(bool))
moments = st.none() | st.integers(0, 2**63 - 1)
consumers = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
references = st.lists(
    st.builds(Reference, consumers, st.sampled_from(ReferenceKind)), max_size=4, unique_by=lambda one: one.consumer
).map(lambda some: tuple(sorted(some, key=lambda one: one.consumer)))


@given(
    st.builds(Attributes, usage=st.none() | usages, description=st.none() | texts, private=st.booleans()),
    st.integers(0, 2**64 - 1),
    st.builds(Lifecycle, moments, moments, st.booleans(), references),
)
def test_what_is_written_is_read_again(attributes: Attributes, counter: int, lifecycle: Lifecycle) -> None:
    written = to_bytes(attributes, counter, lifecycle)
    assert from_bytes(written) == (attributes, counter, lifecycle)
    assert written == canonical.dump(json.loads(written))


BEFELL = {
    "null": b"null",
    "empty": b"{}",
    "nothing": b'{"archived":null,"due":null,"protected":false,"references":[]}',
    "white-space": b'{"archived":1, "due":null,"protected":false,"references":[]}',
    "unsorted": b'{"due":null,"archived":1,"protected":false,"references":[]}',
    "twice": b'{"archived":1,"archived":1,"due":null,"protected":false,"references":[]}',
    "moment-no-number": b'{"archived":true,"due":null,"protected":false,"references":[]}',
    "moment-with-fraction": b'{"archived":1.0,"due":null,"protected":false,"references":[]}',
    "escaped": b'{"archived":1,"due":null,"protected":false,"references":[["\\u0061","active"]]}',
    "kind-unknown": b'{"archived":1,"due":null,"protected":false,"references":[["a","other"]]}',
    "references-unsorted": b'{"archived":1,"due":null,"protected":false,"references":[["b","active"],["a","active"]]}',
    "cut-short": b'{"archived":1,"due":null,"protected":false,"references":[}',
}


@pytest.mark.parametrize(
    "plaintext",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"\xff", id="not-utf-8"),
        pytest.param(b'{"description":null,"private":false,"usage":null}', id="member-missing"),
        pytest.param(b'{"description":null,"extra":1,"private":false,"usage":null,"value":0}', id="member-unknown"),
        pytest.param(b'{"description":null,"private":false,"usage":null,"value":0} ', id="white-space"),
        *[
            pytest.param(
                b'{"description":null,"lifecycle":%b,"private":false,"usage":null,"value":0}' % befell,
                id=f"befell-{why}",
            )
            for why, befell in BEFELL.items()
        ],
        pytest.param(b'{"private":false,"description":null,"usage":null,"value":0}', id="unsorted"),
        pytest.param(b'{"description":null,"private":false,"usage":["disk","a"],"value":0}', id="unknown-usage"),
        pytest.param(b'{"description":null,"private":false,"usage":["none","a"],"value":0}', id="usage-none"),
        pytest.param(b'{"description":null,"private":false,"usage":["tls",""],"value":0}', id="usage-without-id"),
        pytest.param(b'{"description":null,"private":false,"usage":["tls","a","b"],"value":0}', id="usage-too-long"),
        pytest.param(b'{"description":3,"private":false,"usage":null,"value":0}', id="description-no-text"),
        pytest.param(
            b'{"description":"%b","private":false,"usage":null,"value":0}' % (b"x" * (limits.DESCRIPTION_BYTES + 1)),
            id="description-too-long",
        ),
    ],
)
def test_what_is_refused(plaintext: bytes) -> None:
    with pytest.raises(StoreCorruptError) as raised:
        from_bytes(plaintext)
    assert raised.value.__context__ is None, "the parser's error would carry the plaintext"
