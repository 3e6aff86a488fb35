"""Random conversations about a few secrets, for libvirtd and secretd at once.

What secretd means to do otherwise is left out: no carriage returns, no document types, and no change of a usage's type
that would make two secrets of one usage.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from helpers.libvirt_both import TOKEN, Both, Call
from helpers.libvirt_client import LIFECYCLE, VALUE_CHANGED

UUIDS = tuple(f"{number:08x}-1111-4222-8333-444444444444" for number in range(4))

ELEMENTS = {"volume": "volume", "ceph": "name", "iscsi": "target", "tls": "name", "vtpm": "name", "none": "name"}
NUMBERS = {"none": 0, "volume": 1, "ceph": 2, "iscsi": 3, "tls": 4, "vtpm": 5}

USAGES = (
    ("volume", "/srv/one"),
    ("ceph", "two"),
    ("tls", "three"),
    ("iscsi", "th<ee & é"),
    ("vtpm", " "),
    ("none", "x"),
)

CHANGING = tuple((kind, "changes its type") for kind in ("ceph", "tls", "vtpm"))
"""The usages of the first secret, and of no other: so their type may change and meet nobody's."""


def _mostly(usual: Any, *rare: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((usual,) * 5 * len(rare) + rare)


def _element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"


def _usages_of(uuid: str | None) -> st.SearchStrategy[tuple[str, str]]:
    return st.sampled_from(CHANGING if uuid == UUIDS[0] else USAGES)


def _usage_element(kind: str, usage_id: str) -> str:
    return f"<usage type='{kind}'>{_element(ELEMENTS[kind], escape(usage_id))}</usage>"


@st.composite
def good_documents(draw: st.DrawFn) -> str:
    """Write a document that is accepted, unless another secret is in its way."""
    uuid = draw(st.sampled_from(UUIDS))
    attributes = "".join(draw(st.sampled_from(["", "", f" {name}='yes'"])) for name in ("ephemeral", "private"))
    description = draw(st.sampled_from(["", "<description>a  b</description>"]))
    usage = draw(_mostly(_usage_element(*draw(_usages_of(uuid))), ""))
    return f"<secret{attributes}>{_element('uuid', uuid)}{description}{usage}</secret>"


_SPELLINGS = (
    str,
    str.upper,
    lambda uuid: uuid.replace("-", ""),
    lambda uuid: f"\n  {uuid}\t",
    lambda uuid: uuid.replace("-", " "),
    lambda uuid: uuid + "-",
    lambda uuid: uuid[:-1],
)


@st.composite
def _odd_usages(draw: st.DrawFn, uuid: str | None) -> str:
    kind, usage_id = draw(_usages_of(uuid))
    child = _element(draw(_mostly(ELEMENTS[kind], "name", "colour")), escape(usage_id))
    type_attribute = draw(_mostly(f" type='{kind}'", " type='unheard-of'", ""))
    inside = draw(_mostly(child, "", child * 2, f"<colour/>{child}"))
    return f"<usage{type_attribute}>{inside}</usage>"


@st.composite
def odd_documents(draw: st.DrawFn) -> str:
    """Write a document that may be wrong, or merely unusual, in several ways."""
    uuid = draw(_mostly(draw(st.sampled_from(UUIDS)), None))
    attributes = [
        f" {name}='{draw(_mostly('yes', 'no', '', 'maybe'))}'"
        for name in ("ephemeral", "private", "colour")
        if draw(st.booleans())
    ]
    inside = [_element("uuid", draw(_mostly(*_SPELLINGS))(uuid))] if uuid else []
    inside.append(draw(_mostly("", "<description/>", "<colour>red</colour>", "text")))
    inside.append(draw(_odd_usages(uuid)))
    whole = f"<secret{''.join(attributes)}>{''.join(draw(st.permutations(inside)))}</secret>"
    broken = (whole[:-1], whole + "x", whole.replace("secret", "domain"), f"<?xml version='1.0'?>{whole}")
    return str(draw(_mostly(whole, *broken)))


def _of_a_connection(function: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(function), st.tuples(*arguments), st.none(), _mostly("rw", "ro"))


def _of_a_secret(function: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(Call, st.just(function), st.tuples(*arguments), st.sampled_from(UUIDS), _mostly("rw", "ro"))


_FLAGS = _mostly(0, 1, 2, 0x8000_0000)
_LIST_FLAGS = st.one_of(st.integers(0, 15), st.sampled_from([16, 0x8000_0000]))
_VALUES = st.one_of(st.binary(min_size=1, max_size=40), st.sampled_from([b"", bytes(65_536), b"x" * 65_537]))
_IDENTITIES = st.sampled_from([{"system.token": TOKEN}, {"user-name": "x"}])

_DEFINE_WELL = good_documents().map(lambda document: Call("secretDefineXML", (document, 0)))
_SET_WELL = st.builds(
    lambda uuid, value: Call("setValue", (value, 0), uuid), st.sampled_from(UUIDS), st.binary(min_size=1, max_size=40)
)
_SET_VALUE = _of_a_secret("setValue", _VALUES, _FLAGS)
_VALUE = _of_a_secret("value", _FLAGS)

_LOOKUP_BY_USAGE = st.one_of(
    st.sampled_from(USAGES + CHANGING).map(lambda usage: Call("secretLookupByUsage", (NUMBERS[usage[0]], usage[1]))),
    _of_a_connection("secretLookupByUsage", st.integers(-1, 6), st.sampled_from(["", "TWO", "two", "/srv/one"])),
)

CALLS = st.one_of(
    _DEFINE_WELL,
    _DEFINE_WELL,
    _of_a_connection("secretDefineXML", odd_documents(), _FLAGS),
    _SET_WELL,
    _SET_WELL,
    _SET_VALUE,
    _VALUE,
    _VALUE,
    _of_a_secret("XMLDesc", _FLAGS),
    _of_a_secret("undefine"),
    _of_a_connection("secretLookupByUUIDString", st.sampled_from(UUIDS)),
    _LOOKUP_BY_USAGE,
    _of_a_connection("listAllSecrets", _LIST_FLAGS),
    _of_a_connection("listSecrets"),
    _of_a_connection("numOfSecrets"),
    _of_a_connection("setIdentity", _IDENTITIES, st.just(0)),
)

CONVERSATIONS = st.builds(
    lambda beginning, rest: [*beginning, *rest],
    st.lists(_DEFINE_WELL, min_size=2, max_size=5),
    st.lists(CALLS, min_size=10, max_size=50),
)


def converse(both: Both, calls: list[Call]) -> None:
    """Begin anew, make the calls, and look at all that is left and at the events that came meanwhile.

    Raises:
        AssertionError: the daemons do not answer the same.
    """
    both.restart()
    both.open("ro", read_only=True)
    both.listen(LIFECYCLE)
    both.listen(VALUE_CHANGED)
    for call in calls:
        both.make(call)
    left = both.call("listAllSecrets", 0)["result"]
    for uuid, _, _ in left:
        both.call("XMLDesc", 0, secret=uuid)
        both.call("value", 0, secret=uuid)
    both.events()
