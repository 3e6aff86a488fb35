"""The short way of reading libvirt's documents says what the long way says, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.documents import DOCUMENTS, SECRET_ID
from secretd import limits
from secretd.documents import libvirt_secret
from secretd.documents.libvirt_exact import read_exactly
from secretd.documents.libvirt_secret import read_libvirt_secret
from secretd.documents.scan import UnknownNames
from secretd.documents.secret import write_secret
from secretd.errors import LibvirtError
from secretd.model import SecretDocument

NAMES = UnknownNames(limit=1_000_000)

PIECES = [
    *("'", '"', "<", ">", "/", "/>", "=", "&", "&amp;", "&#65;", "]]>", "<!---->", "<?x?>", "\0", "\ufeff", ""),
    *(" ", "\t", "\r\n", "\n", "-", "0", "A", "a", "yes", "no", "none", "ceph", "volume", "tls", "ä"),
    *("<uuid>", "</uuid>", "<name>", "</name>", "<target>", "<description/>", "<usage type='none'/>", "</secret>"),
    *(" private='yes'", ' ephemeral="yes"', " xmlns='urn:x'", " xml:id='a'", "<volume>v</volume>"),
]
"""What a document is damaged with."""


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Write a document with quotes and white space of some kind, and put pieces in the place of parts of it."""
    written = write_secret(draw(DOCUMENTS)).replace("><", draw(st.sampled_from(["><", "> <", ">\n  <"])))
    written = written.replace("'", draw(st.sampled_from(["'", '"'])))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(written)))
        end = min(len(written), start + draw(st.integers(0, 12)))
        written = written[:start] + draw(st.sampled_from(PIECES)) + written[end:]
    return written.encode()


def read_at_length(body: bytes) -> SecretDocument | None:
    try:
        return libvirt_secret._read_whole(body, NAMES, validate=False)
    except LibvirtError:
        return None


@given(body=damaged())
def test_what_is_read_is_read_alike_at_length(body: bytes) -> None:
    exact = read_exactly(body)
    assert exact is None or exact == read_at_length(body)


COMMON = [
    pytest.param("<secret></secret>", id="nothing"),
    pytest.param("<secret ephemeral='no' private='yes'><uuid>ID</uuid></secret>\n", id="flags"),
    pytest.param('<secret private="no">\n  <description>of a volume</description>\n</secret>', id="double-quotes"),
    pytest.param("<secret><usage type='volume'><volume>/a b</volume></usage></secret>", id="volume"),
    pytest.param("<secret>\n<usage type='ceph'>\n\t<name>client.a</name>\n</usage>\n</secret>", id="ceph"),
    pytest.param("<secret><usage type='iscsi'><target>t</target></usage></secret>", id="iscsi"),
    pytest.param("<secret><usage type='tls'><name>n</name></usage></secret>", id="tls"),
    pytest.param("<secret><usage type='vtpm'><name>n</name></usage></secret>", id="vtpm"),
]

OTHERS = [
    pytest.param("<secret/>", id="empty-tag"),
    pytest.param("<secret ephemeral='no\"></secret>", id="quotes-differ"),
    pytest.param("<secret private='no' ephemeral='no'></secret>", id="order"),
    pytest.param("<secret><description></description></secret>", id="empty-text"),
    pytest.param("<secret><description>a&amp;b</description></secret>", id="reference"),
    pytest.param("<secret><description>ä</description></secret>", id="not-ascii"),
    pytest.param("<secret><description>]]></description></secret>", id="no-text"),
    pytest.param("<secret><usage type='ceph'><target>t</target></usage></secret>", id="other-element"),
    pytest.param("<secret><usage type='none'></usage></secret>", id="none"),
    pytest.param(f"<secret><description>{'d' * 6145}</description></secret>", id="long-description"),
    pytest.param(f"<secret>{' ' * limits.DOCUMENT_BYTES}</secret>", id="long"),
]


@pytest.mark.parametrize("text", COMMON)
def test_the_common_spelling_needs_no_parser(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = text.replace("ID", SECRET_ID).encode()
    expected = read_at_length(body)
    assert expected is not None
    monkeypatch.setattr(libvirt_secret, "_read_whole", None)
    assert read_libvirt_secret(body, NAMES, validate=False) == expected


@pytest.mark.parametrize("text", OTHERS)
def test_any_other_is_for_the_long_way(text: str) -> None:
    assert read_exactly(text.encode()) is None


def test_who_wants_validation_gets_it() -> None:
    body = b"<secret><usage type='volume'><volume>not/absolute</volume></usage></secret>"
    assert read_libvirt_secret(body, NAMES, validate=False) == read_exactly(body)
    with pytest.raises(LibvirtError):
        read_libvirt_secret(body, NAMES, validate=True)
