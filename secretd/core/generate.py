"""Random values, made inside: raw bytes, or characters of an alphabet, every one as likely as the others."""

from __future__ import annotations

import secrets

from secretd import limits
from secretd.errors import InvalidRequestError
from secretd.model import SecretValue

_PRINTABLE = range(0x20, 0x7F)


def generate_value(length: int, alphabet: str | None) -> SecretValue:
    """Make a random value.

    Args:
        length: how many characters or bytes, 1 to limits.VALUE_BYTES.
        alphabet: 2 to limits.ALPHABET_CHARACTERS different printable ASCII characters; None for raw bytes.

    Raises:
        InvalidRequestError: the length or the alphabet is none of these.
    """
    if not 1 <= length <= limits.VALUE_BYTES:
        raise InvalidRequestError(f"a length is from 1 to {limits.VALUE_BYTES}")
    if alphabet is None:
        return SecretValue(secrets.token_bytes(length))
    characters = _check_alphabet(alphabet)
    return SecretValue(_draw(characters, length))


def _draw(characters: bytes, length: int) -> bytearray:
    """Draw characters, each as likely as the others: a random byte stands for one, or is drawn again."""
    fair = 256 - 256 % len(characters)
    table = bytes(characters[byte % len(characters)] for byte in range(256))
    surplus = bytes(range(fair, 256))
    drawn = bytearray()
    while len(drawn) < length:
        drawn += secrets.token_bytes(length - len(drawn)).translate(table, surplus)
    return drawn


def _check_alphabet(alphabet: str) -> bytes:
    if not all(ord(character) in _PRINTABLE for character in alphabet):
        raise InvalidRequestError("an alphabet consists of printable ASCII characters")
    if len(set(alphabet)) != len(alphabet):
        # A character named twice would be twice as likely; nobody means that.
        raise InvalidRequestError("an alphabet names each character once")
    if len(alphabet) < 2:
        raise InvalidRequestError("an alphabet has at least two characters")
    return alphabet.encode("ascii")
