"""A box: ``nonce || ciphertext || tag``, sealed with AES-256-GCM and bound to associated data.

Everything secretd seals is a box, and no other module touches the cipher.  A box opens whole or not at all: no
byte is given out before the tag was checked, and there is only one reason why one does not open.

Source: NIST SP 800-38D, with a 96-bit nonce and a 128-bit tag.  Nonces are random, so one key may seal at most
2^32 boxes (section 8.3); the keyring rotates before that.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Cipher = AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = NONCE_BYTES + TAG_BYTES


def seal_box(cipher: Cipher, plaintext: bytes, associated: bytes) -> bytes:
    """Seal ``plaintext`` under a new random nonce, bound to ``associated``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, associated)


def open_box(cipher: Cipher, box: bytes, associated: bytes) -> bytes | None:
    """Give the plaintext of ``box``, or None if it was not sealed by this key for this ``associated``."""
    if len(box) < OVERHEAD_BYTES:
        return None
    try:
        return cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated)
    except InvalidTag:
        return None
