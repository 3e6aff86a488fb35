"""Places in the order of ids, hidden: where the next page of a list begins, said to who may not know what is there.

A place is an id, and hidden it is another, from which nobody without the key can tell the first, nor make one that
hides a place of his choosing.  Every id hides some place, and a place is hidden by the same id each time, which is all
that two of them tell.

Source: NIST SP 800-38A, section 6.1 (ECB), of a single block: AES-256 as the permutation of 16 bytes that it is.
"""

from __future__ import annotations

from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB


class HiddenPlaces:
    """Hides places under one key, and finds them again.

    Args:
        key: 32 bytes, for nothing else.
    """

    def __init__(self, key: bytes) -> None:
        # What ECB shows, which blocks are alike, is what is wanted of it: each place is one block.
        self._cipher = Cipher(AES256(key), ECB())  # noqa: S305

    def hide(self, place: UUID) -> UUID:
        """Give the id that hides a place."""
        return _through(self._cipher.encryptor(), place)

    def find(self, hidden: UUID) -> UUID:
        """Give the place that an id hides."""
        return _through(self._cipher.decryptor(), hidden)


def _through(context: CipherContext, block: UUID) -> UUID:
    return UUID(bytes=context.update(block.bytes) + context.finalize())
