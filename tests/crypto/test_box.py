from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd.crypto.box import KEY_BYTES, OVERHEAD_BYTES, Cipher, open_box, seal_box

CIPHER = Cipher(bytes(KEY_BYTES))


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_opens(plaintext: bytes, associated: bytes) -> None:
    box = seal_box(CIPHER, plaintext, associated)
    assert len(box) == len(plaintext) + OVERHEAD_BYTES
    assert open_box(CIPHER, box, associated) == plaintext


def test_no_two_boxes_share_a_nonce() -> None:
    assert len({seal_box(CIPHER, b"", b"")[:12] for _ in range(1000)}) == 1000


@pytest.mark.parametrize("length", range(OVERHEAD_BYTES + 5))
def test_a_cut_box_does_not_open(length: int) -> None:
    assert open_box(CIPHER, seal_box(CIPHER, b"plain", b"")[:length], b"") is None


@given(st.binary(max_size=80), st.binary(max_size=8))
def test_other_bytes_do_not_open(box: bytes, associated: bytes) -> None:
    assert open_box(CIPHER, box, associated) is None
