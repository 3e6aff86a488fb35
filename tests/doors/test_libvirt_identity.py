"""What a libvirt daemon may say of whom it acts for, and what of it is refused."""

from __future__ import annotations

import pytest

from secretd.doors.libvirt_identity import read_identity
from secretd.errors import LibvirtError
from secretd.wire.libvirt_bodies import Parameter
from secretd.wire.libvirt_procedures import ParameterType

TOKEN = b"0123456789abcdef0123456789abcdef"

NAME: Parameter = (b"user-name", ParameterType.STRING, b"\xff root")
UID: Parameter = (b"unix-user-id", ParameterType.ULLONG, 0)
PROOF: Parameter = (b"system.token", ParameterType.STRING, TOKEN)


def test_claims_and_the_token_are_told_apart() -> None:
    identity = read_identity([NAME, PROOF, UID])

    assert identity.claims == {"user-name": b"\xff root", "unix-user-id": 0}
    assert identity.token == TOKEN
    assert TOKEN.decode() not in repr(identity)


def test_nothing_is_said() -> None:
    assert read_identity([]).claims == {}
    assert read_identity([]).token is None


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [
        pytest.param([(b"nonsense", ParameterType.INT, 1)], (74, 0), id="unknown"),
        pytest.param([(b"", ParameterType.INT, 1)], (74, 0), id="without a name"),
        pytest.param([(b"user-name", ParameterType.INT, 1)], (8, 0), id="of the wrong type"),
        pytest.param([(b"unix-user-id", ParameterType.INT, 0)], (8, 0), id="of a narrower type"),
        pytest.param([NAME, NAME], (8, 0), id="twice"),
        pytest.param([PROOF, PROOF], (8, 0), id="the token twice"),
        pytest.param([(b"n" * 79, ParameterType.INT, 1)], (74, 0), id="a name of the greatest length"),
        pytest.param([(b"n" * 80, ParameterType.INT, 1)], (1, 0), id="a name too long"),
        pytest.param(
            [NAME, NAME, (b"nonsense", ParameterType.INT, 1), (b"n" * 80, ParameterType.INT, 1)],
            (1, 0),
            id="the length of all names first",
        ),
        pytest.param([NAME, NAME, (b"nonsense", ParameterType.INT, 1)], (74, 0), id="then all names"),
    ],
)
def test_what_is_refused(parameters: list[Parameter], answer: tuple[int, int]) -> None:
    with pytest.raises(LibvirtError) as refused:
        read_identity(parameters)

    assert (refused.value.libvirt_code, refused.value.libvirt_domain) == answer
