"""The URIs that a libvirt client may open: each with the answer of libvirt's daemon, 12.8, or with how it is kept."""

from __future__ import annotations

import pytest

from secretd.doors.libvirt_uri import judge_uri
from secretd.errors import LibvirtError
from secretd.model import Mode

KEPT = {
    b"secret:///session": "secret:///session",
    b"secret:/session": "secret:///session",
    b"secret:///session?socket=/run/x&mode=direct": "secret:///session?socket=/run/x&mode=direct",
    b"secret:///session#part": "secret:///session#part",
    b"secret:///%73ession": "secret:///session",
    b"secret://user@/session": "secret:///session",
}

REFUSED = {
    None: (1, 7),
    b"": (5, 0),
    b"/session": (5, 0),
    b"test:///default": (5, 0),
    b"qemu+ssh:///session": (5, 0),
    b"secret": (5, 0),
    b":": (1, 45),
    b"secret:///session ": (1, 45),
    b"secret:///%zz": (1, 45),
    b"secret:///s\xc3\xa9ssion": (1, 45),
    b"secret+ssh:///session": (29, 7),
    b"secret://host/session": (38, 7),
    b"secret:///system": (1, 0),
    b"secret:///": (1, 0),
    b"secret:///session/": (1, 0),
    b"secret:///embed": (8, 45),
    # A difference: libvirt's daemon looks at the root.
    b"secret:///embed?root=/x": (8, 45),
}


@pytest.mark.parametrize(("given", "kept"), KEPT.items())
def test_a_uri_of_this_daemon_is_kept_in_its_usual_spelling(given: bytes, kept: str) -> None:
    assert judge_uri(given, Mode.SESSION) == kept


@pytest.mark.parametrize(("given", "answer"), REFUSED.items())
def test_any_other_is_refused_as_libvirt_does(given: bytes | None, answer: tuple[int, int]) -> None:
    with pytest.raises(LibvirtError) as refused:
        judge_uri(given, Mode.SESSION)

    assert (refused.value.libvirt_code, refused.value.libvirt_domain) == answer


def test_a_system_daemon_is_no_session() -> None:
    assert judge_uri(b"secret:///system", Mode.SYSTEM) == "secret:///system"
    with pytest.raises(LibvirtError, match="secret:///system"):
        judge_uri(b"secret:///session", Mode.SYSTEM)
