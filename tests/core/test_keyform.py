"""What is kept of a key: one spelling, and nothing read that was not written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.core import keyform as form
from secretd.core.keyform import Key, Tombstone, Version
from secretd.crypto import canonical
from secretd.errors import StoreCorruptError
from secretd.keys import KeyDocument, KeyId, KeyOrigin, Tag
from secretd.lifecycle import Lifecycle, Reference, ReferenceKind

_NUMBERS = st.integers(0, 2**63 - 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12)
_VERSIONS = st.builds(
    Version,
    _NUMBERS,
    st.integers(1, 2**64 - 1),
    st.sampled_from(KeyOrigin),
    _NUMBERS,
    st.none() | _TEXTS,
    st.none() | _NUMBERS,
)
_IDS = st.sampled_from([KeyId("nightly"), KeyId("7b0c1f5e-3c5d-4b8e-9a57-2f6d1c0e8a41")])
_DOCUMENTS = st.builds(
    lambda key, description, tags, exportable, rotation: KeyDocument(
        key,
        description=description,
        tags=tuple(Tag(name, text) for name, text in tags.items()),
        exportable=exportable,
        rotation=rotation,
    ),
    _IDS,
    st.none() | _TEXTS,
    st.dictionaries(_TEXTS.filter(bool), _TEXTS, max_size=4),
    st.booleans(),
    st.none() | st.integers(1, limits.ROTATION_DAYS),
)
_BEFELL = st.sampled_from(
    [Lifecycle(), Lifecycle(archived=7), Lifecycle(7, 8), Lifecycle(references=(Reference("a", ReferenceKind.ACTIVE),))]
)
KEYS = st.builds(
    Key, _DOCUMENTS, _NUMBERS, st.lists(_VERSIONS, min_size=1, max_size=4).map(tuple), st.booleans(), _BEFELL
)
TOMBSTONES = st.builds(Tombstone, _IDS, _NUMBERS, st.integers(0, limits.KEY_VERSIONS))

_VERSION: dict[str, Any] = {
    "created": 1,
    "hint": None,
    "material": 1,
    "modified": None,
    "origin": "generated",
    "uses": 0,
}
_KEY: dict[str, Any] = {
    "backend": "local",
    "created": 1,
    "description": None,
    "disabled": False,
    "exportable": False,
    "format": 1,
    "id": "nightly",
    "lifecycle": None,
    "rotation": None,
    "tags": {},
    "usage": "encrypt-decrypt",
    "versions": [_VERSION],
}
_TOMBSTONE: dict[str, Any] = {"destroyed": 1, "format": 1, "id": "nightly", "versions": 0}


def versions(**members: object) -> dict[str, Any]:
    return {**_KEY, "versions": [{**_VERSION, **members}]}


REFUSED: dict[str, object] = {
    "no object": [],
    "a member more": {**_KEY, "more": None},
    "a member less": {name: _KEY[name] for name in _KEY if name != "tags"},
    "another format": {**_KEY, "format": 2},
    "another backend": {**_KEY, "backend": "token"},
    "another usage": {**_KEY, "usage": "sign-verify"},
    "an id that is none": {**_KEY, "id": "x"},
    "a UUID in the other case": {**_KEY, "id": "7B0C1F5E-3C5D-4B8E-9A57-2F6D1C0E8A41"},
    "a moment that is true": {**_KEY, "created": True},
    "a moment with a fraction": {**_KEY, "created": 1.0},
    "a moment before all": {**_KEY, "created": -1},
    "a flag that is a number": {**_KEY, "disabled": 0},
    "a description that is a number": {**_KEY, "description": 1},
    "tags that are a list": {**_KEY, "tags": []},
    "a tag that is a number": {**_KEY, "tags": {"env": 1}},
    "a tag that is nothing": {**_KEY, "tags": {"env": None}},
    "a period of no day": {**_KEY, "rotation": 0},
    "a period that is true": {**_KEY, "rotation": True},
    "a key that is protected": {
        **_KEY,
        "lifecycle": {"archived": None, "due": None, "protected": True, "references": []},
    },
    "no version": {**_KEY, "versions": []},
    "too many versions": {**_KEY, "versions": [_VERSION] * (limits.KEY_VERSIONS + 1)},
    "a version of no material": versions(material=0),
    "a version of another origin": versions(origin="found"),
    "a hint that is a number": versions(hint=1),
    "a version with a member more": versions(more=1),
    "uses below none": versions(uses=-1),
    "a tombstone with a member more": {**_TOMBSTONE, "more": 1},
    "a tombstone of too many versions": {**_TOMBSTONE, "versions": limits.KEY_VERSIONS + 1},
    "a tombstone of no key": {**_TOMBSTONE, "id": ""},
}


@given(KEYS | TOMBSTONES)
def test_what_is_written_is_read(kept: Key | Tombstone) -> None:
    written = form.to_bytes(kept)
    assert form.from_bytes(written) == kept
    assert canonical.dump(json.loads(written)) == written


@pytest.mark.parametrize("members", [_KEY, _TOMBSTONE], ids=["key", "tombstone"])
def test_what_the_page_says_is_read(members: dict[str, Any]) -> None:
    assert form.to_bytes(form.from_bytes(canonical.dump(members))) == canonical.dump(members)


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_what_is_not_written_is_refused(members: object) -> None:
    with pytest.raises(StoreCorruptError, match="a form this version does not know") as raised:
        form.from_bytes(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())
    assert raised.value.__context__ is None


@pytest.mark.parametrize(
    "plaintext",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff", id="no-text"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b" " + canonical.dump(_KEY), id="a-space"),
        pytest.param(canonical.dump(_KEY).replace(b"nightly", b"nigh\\u0074ly"), id="escaped"),
    ],
)
def test_another_spelling_is_refused(plaintext: bytes) -> None:
    with pytest.raises(StoreCorruptError, match="a form this version does not know"):
        form.from_bytes(plaintext)
