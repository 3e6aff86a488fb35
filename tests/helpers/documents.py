"""What tests of documents share: strategies for everything that a document can say, and texts that it may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from hypothesis import strategies as st

from secretd import limits
from secretd.fields import Field, Help, fields_of
from secretd.grants import Grant
from secretd.keys import Blob, KeyDocument, KeyId, Tag
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Attributes, Digest, SecretDocument, SecretValue, Usage, UsageType

SECRET_ID = "7bb4ad5c-5ae4-4a6c-a8cf-5e8bb4d9b9b9"
DIGEST = "5d1f0bd1c0f4d2b1a8f0a4a1f2c3e4d5"

TEXT = st.text(
    st.one_of(
        st.sampled_from("\t\n\r <>&'\"]-;"),
        st.characters(min_codepoint=0x20, max_codepoint=0xD7FF),
        st.characters(min_codepoint=0xE000, max_codepoint=0xFFFD),
        st.characters(min_codepoint=0x10000, max_codepoint=0x10FFFF),
    ),
    max_size=60,
)
"""Texts of the characters that XML can carry, with those that need care more often than not."""

USAGES = st.builds(Usage, st.sampled_from([kind for kind in UsageType if kind is not UsageType.NONE]), TEXT.filter(len))
DOCUMENTS = st.builds(
    SecretDocument,
    st.builds(
        Attributes,
        st.none() | USAGES,
        st.none() | TEXT.filter(len),
        st.booleans(),
        st.booleans(),
    ),
    st.none() | st.uuids(),
)
VALUES = st.builds(SecretValue, st.binary(min_size=1, max_size=200))
BLOBS = st.builds(Blob, st.binary(min_size=1, max_size=200))
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))
KEY_IDS = st.one_of(
    st.uuids().map(str),
    st.from_regex("[A-Za-z0-9_][A-Za-z0-9._-]{2,31}", fullmatch=True),
).map(KeyId)
KEYS = st.builds(
    KeyDocument,
    id=st.none() | KEY_IDS,
    description=st.none() | TEXT.filter(len),
    tags=st.lists(st.builds(Tag, TEXT.filter(len), TEXT), max_size=4, unique_by=lambda tag: tag.name).map(tuple),
    exportable=st.booleans(),
    rotation=st.none() | st.integers(1, limits.ROTATION_DAYS),
)
REFERENCES = st.builds(
    Reference,
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20),
    st.sampled_from(ReferenceKind),
)


def _numbers(bounds: Help) -> st.SearchStrategy[int]:
    return st.integers(bounds.low or 0, 2**63 - 1 if bounds.high is None else bounds.high)


def _grants(_: Help) -> st.SearchStrategy[Any]:
    from helpers.grants import GRANTS  # noqa: PLC0415  # its texts are this module's

    return GRANTS


_BY_TYPE: dict[object, Callable[[Help], st.SearchStrategy[Any]]] = {
    bool: lambda _: st.booleans(),
    int: _numbers,
    str: lambda _: TEXT,
    Digest: lambda _: st.text("0123456789abcdef", min_size=32, max_size=32).map(Digest),
    SecretDocument: lambda _: DOCUMENTS,
    Usage: lambda _: USAGES,
    SecretValue: lambda _: VALUES,
    KeyId: lambda _: KEY_IDS,
    datetime: lambda _: MOMENTS,
    Blob: lambda _: BLOBS,
    KeyDocument: lambda _: KEYS,
    Reference: lambda _: REFERENCES,
    Grant: _grants,
}


def _plain(item: Field) -> st.SearchStrategy[Any]:
    if item.type in _BY_TYPE:
        return _BY_TYPE[item.type](item.help)
    if issubclass(item.type, Enum):
        return st.sampled_from(list(item.type))
    return records(item.type) if item.many else st.uuids()


def _field(item: Field, default: object) -> st.SearchStrategy[Any]:
    if item.many:
        return st.lists(_plain(item), max_size=4).map(tuple)
    return st.none() | _plain(item) if default is None else _plain(item)


def records(record: type) -> st.SearchStrategy[Any]:
    """Make every request, reply or part of one that the table of operations allows."""
    defaults = {item.name: item.default for item in fields(record)}
    return st.builds(record, **{item.name: _field(item, defaults[item.name]) for item in fields_of(record)})
