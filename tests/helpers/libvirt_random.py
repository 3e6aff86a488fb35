"""Random conversations about a few secrets, for libvirtd and secretd at once.

What secretd means to do otherwise is left out: no carriage returns, no document types, and no change of a usage's type
that would make two secrets of one usage.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from helpers.libvirt_both import TOKEN, Both, Call
from helpers.libvirt_client import LIFECYCLE, VALUE_CHANGED

UUIDS = tuple(f"{number:08x}-1111-4222-8333-444444444444" for number in range(4))
KINDS = {"volume": "volume", "ceph": "name", "iscsi": "target", "tls": "name", "vtpm": "name", "none": "name"}
NUMBERS = {"none": 0, "volume": 1, "ceph": 2, "iscsi": 3, "tls": 4, "vtpm": 5}
IDS = ("/srv/one", "two", "th&lt;ee &amp; é", " ")
CHANGING = "changes its type"
"""An id that only the first secret has, whose usage may therefore be of any type."""

_SPELLINGS = (
    str,
    str.upper,
    lambda uuid: uuid.replace("-", ""),
    lambda uuid: f"\n  {uuid}\t",
    lambda uuid: uuid.replace("-", " "),
    lambda uuid: uuid + "-",
    lambda uuid: uuid[:-1],
)


def _mostly(usual: Any, *rare: Any) -> st.SearchStrategy[Any]:
    return st.one_of(*[st.just(usual)] * 4, st.sampled_from(rare))


def _element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"


@st.composite
def usages(draw: st.DrawFn, ids: tuple[str, ...]) -> str:
    """Write an element, or none at all, that may be wrong in one way or another."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    child = _element(draw(_mostly(KINDS[kind], "name", "colour")), draw(st.sampled_from(ids)))
    type_attribute = draw(_mostly(f" type='{kind}'", " type='unheard-of'", ""))
    whole: str = f"<usage{type_attribute}>{draw(_mostly(child, '', child * 2, '<colour/>' + child))}</usage>"
    return str(draw(_mostly(whole, "")))


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Write a document: mostly good, often a change of one that is there."""
    uuid = draw(_mostly(draw(st.sampled_from(UUIDS)), None))
    attributes = "".join(
        f" {name}='{value}'"
        for name in ("ephemeral", "private")
        if (value := draw(st.sampled_from([None, None, "yes", "yes", "no", "", "maybe"]))) is not None
    )
    inside = [_element("uuid", draw(st.sampled_from(_SPELLINGS + (str,) * 20))(uuid))] if uuid else []
    inside.append(draw(_mostly("", "<description>a  b</description>", "<description/>", "<colour>red</colour>")))
    inside.append(draw(usages((CHANGING,) if uuid == UUIDS[0] else IDS)))
    whole = f"<secret{attributes}>{''.join(draw(st.permutations(inside)))}</secret>"
    broken = (whole[:-1], whole + "x", whole.replace("secret", "domain"), f"<?xml version='1.0'?>{whole}")
    return str(draw(_mostly(whole, *broken)))


_FLAGS = _mostly(0, 1, 2, 0x8000_0000)
_VALUES = st.one_of(st.binary(max_size=40), st.just(bytes(65_536)), st.just(b"x" * 65_537))
_USAGE_IDS = st.sampled_from(["/srv/one", "two", "th<ee & é", " ", "", CHANGING, "unheard-of"])
_LIST_FLAGS = st.one_of(st.integers(0, 15), st.sampled_from([16, 0x8000_0000]))


def _of_a_connection(function: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(lambda given, on: Call(function, given, None, on), st.tuples(*arguments), _mostly("rw", "ro"))


def _of_a_secret(function: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    return st.builds(
        lambda given, secret, on: Call(function, given, secret, on),
        st.tuples(*arguments),
        st.sampled_from(UUIDS),
        _mostly("rw", "ro"),
    )


_DEFINE = _of_a_connection("secretDefineXML", documents(), _FLAGS)

CALLS = st.one_of(
    _DEFINE,
    _DEFINE,
    _DEFINE,
    _of_a_secret("setValue", _VALUES, _FLAGS),
    _of_a_secret("value", _FLAGS),
    _of_a_secret("XMLDesc", _FLAGS),
    _of_a_secret("undefine"),
    _of_a_connection("secretLookupByUUIDString", st.sampled_from(UUIDS)),
    _of_a_connection("secretLookupByUsage", st.sampled_from([*NUMBERS.values(), 6]), _USAGE_IDS),
    _of_a_connection("listAllSecrets", _LIST_FLAGS),
    _of_a_connection("listSecrets"),
    _of_a_connection("numOfSecrets"),
    _of_a_connection("setIdentity", st.sampled_from([{"system.token": TOKEN}, {"user-name": "x"}]), st.just(0)),
)

CONVERSATIONS = st.lists(CALLS, min_size=5, max_size=40)


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
