"""The keyring of a sealing domain: versioned record keys, the index key and the digest key.

A keyring keeps its keys in buffers of its own, shows them to nobody by accident (its repr hides them, it does not
pickle or copy), and after wipe() refuses every use with SealError.  It seals neither itself (sealfile does) nor
records (envelope does).

Rules: the highest version seals, older ones only open; the index key and the digest key never change, or
lookups and digests would.

Source: docs/storage-format.md, "The keyring's payload", "Lookups by usage" and "The digest"; docs/adr/0021.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b, sha256
from typing import Final, NoReturn, Self
from uuid import UUID, uuid4

from secretd.crypto import canonical
from secretd.crypto.box import KEY_BYTES, Cipher
from secretd.errors import SealError, StoreCorruptError
from secretd.model import Digest, Usage, UsageType

VERSION_MOST: Final = 2**32 - 1

_PAYLOAD_MEMBERS: Final = ("current", "digest", "index", "versions")
_DIGEST_LABEL: Final = b"secretd digest\x00"
_DIGEST_BYTES: Final = 16
_BLOCK_BYTES: Final = 64  # of SHA-256
_PADS: Final = tuple(bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))
"""The inner and the outer pad of an HMAC, as what they make of each byte of the key. Source: RFC 2104, section 2."""
_COUNTERS: Final = struct.Struct(">QQ")
_LENGTH: Final = struct.Struct(">I")
_USAGE_TYPES: Final = {kind: _LENGTH.pack(len(kind.value)) + kind.value.encode() for kind in UsageType}
"""Each type with its length, as the id has one, or the end of the type could be read as the start of the id."""


class Domain(Enum):
    """Whose keyring sealed a record; the number stands in the record's header."""

    __hash__ = object.__hash__  # members are single, and Enum's own is a call of Python

    SHARED = 1
    NODE = 2

    @property
    def label(self) -> str:
        """The domain's name in a seal file."""
        return self.name.lower()


class Keyring:
    """The open keys of one sealing domain.

    Attributes:
        domain: whose keyring it is.
        id: the id of its seal file.
    """

    __slots__ = ("_ciphers", "_digest_key", "_index_hashes", "_index_key", "_keys", "domain", "id")

    def __init__(
        self,
        domain: Domain,
        keyring_id: UUID,
        keys: Mapping[int, bytes | bytearray],
        index_key: bytes | bytearray,
        digest_key: bytes | bytearray,
    ) -> None:
        """Keep copies of the keys.

        Args:
            domain: whose keyring it is.
            keyring_id: the id of its seal file.
            keys: at least one record key of 32 bytes, by version (1 to 2^32 - 1); the highest seals.
            index_key: 32 bytes.
            digest_key: 32 bytes.
        """
        self.domain = domain
        self.id = keyring_id
        self._keys = {version: bytearray(key) for version, key in keys.items()}
        self._index_key = bytearray(index_key)
        self._digest_key = bytearray(digest_key)
        # A copy for each cipher, not the buffer: a cipher may keep a reference to what it is given, and one that
        # is still in use when the buffer is wiped must not go on under a key of zeros.
        self._ciphers = {version: Cipher(bytes(key)) for version, key in self._keys.items()}
        self._index_hashes = tuple(sha256(self._index_key.ljust(_BLOCK_BYTES, b"\0").translate(pad)) for pad in _PADS)

    @classmethod
    def generate(cls, domain: Domain) -> Self:
        """Make a new keyring, with a new id and version 1."""
        return cls(domain, uuid4(), {1: os.urandom(KEY_BYTES)}, os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))

    @property
    def current(self) -> int:
        """The version that seals now.

        Raises:
            SealError: the keyring was wiped.
        """
        return max(self._opened())

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions there are, the oldest first.

        Raises:
            SealError: the keyring was wiped.
        """
        return tuple(sorted(self._opened()))

    def retired(self) -> Self:
        """Make a keyring with the current version alone; this one is left as it is.

        What an older version sealed never opens again: who calls this knows that there is nothing.

        Raises:
            SealError: the keyring was wiped.
        """
        keys = {self.current: self._keys[self.current]}
        return type(self)(self.domain, self.id, keys, self._index_key, self._digest_key)

    def rotated(self) -> Self:
        """Make a keyring with one version more, which seals from then on; this one is left as it is.

        Raises:
            SealError: the keyring was wiped, or has no number left for a version.
        """
        version = self.current + 1
        if version > VERSION_MOST:
            raise SealError("the keyring has no version left to rotate to")
        keys = {**self._keys, version: bytearray(os.urandom(KEY_BYTES))}
        return type(self)(self.domain, self.id, keys, self._index_key, self._digest_key)

    def cipher(self, version: int) -> Cipher:
        """Give the cipher of one version, for use at once: a kept one outlives wipe().

        Raises:
            SealError: the keyring was wiped.
            StoreCorruptError: the keyring has no such version.
        """
        cipher = self._ciphers.get(version)
        if cipher is None:
            self._opened()
            raise StoreCorruptError("the record was sealed by a version that the keyring does not have")
        return cipher

    def usage_key(self, usage: Usage) -> bytes:
        """Give the 32 bytes a usage is looked up by.

        Raises:
            SealError: the keyring was wiped.
        """
        self._opened()
        usage_id = usage.id.encode()
        message = b"".join((_USAGE_TYPES[usage.type], _LENGTH.pack(len(usage_id)), usage_id))
        # HMAC as RFC 2104 builds it, from hashes that have the key already: OpenSSL's own takes twice as long.
        inner, outer = (begun.copy() for begun in self._index_hashes)
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def digest(self, secret_id: UUID, attributes_counter: int, value_counter: int) -> Digest:
        """Give the digest of a secret.

        Args:
            secret_id: the secret's id.
            attributes_counter: the change counter of its attributes.
            value_counter: the change counter of its value; 0 if it has none.

        Raises:
            SealError: the keyring was wiped.
        """
        self._opened()
        message = _DIGEST_LABEL + secret_id.bytes + _COUNTERS.pack(attributes_counter, value_counter)
        # Not an HMAC: a list has a digest for each entry, and this takes a quarter of the time.
        return Digest(blake2b(message, key=self._digest_key, digest_size=_DIGEST_BYTES).hexdigest())

    def mac(self, label: bytes, message: bytes) -> bytes:
        """Give the 32 bytes that authenticate a message of the daemon to itself.

        Args:
            label: what the message is about, without zero bytes; each use has its own.
            message: what to authenticate.

        Raises:
            SealError: the keyring was wiped.
        """
        self._opened()
        return hmac.digest(self._digest_key, label + b"\x00" + message, "sha256")

    def to_payload(self) -> bytes:
        """Write the keys in canonical JSON, for sealfile to seal.

        Raises:
            SealError: the keyring was wiped.
        """
        return canonical.dump(
            {
                "current": self.current,
                "digest": canonical.base64(self._digest_key),
                "index": canonical.base64(self._index_key),
                "versions": {str(version): canonical.base64(key) for version, key in self._keys.items()},
            }
        )

    @classmethod
    def from_payload(cls, domain: Domain, keyring_id: UUID, payload: bytes) -> Self:
        """Read the keys of a keyring.

        Raises:
            SealError: the payload is not exactly what to_payload writes.
        """
        fields = canonical.members(canonical.load(payload), _PAYLOAD_MEMBERS, "payload")
        keyring = cls(
            domain,
            keyring_id,
            _versions(fields["versions"]),
            canonical.unbase64(fields["index"], KEY_BYTES, "index"),
            canonical.unbase64(fields["digest"], KEY_BYTES, "digest"),
        )
        # Compared whole: this holds `current` too, and every spelling.
        if keyring.to_payload() != payload:
            raise canonical.damaged("payload not canonical")
        return keyring

    def wipe(self) -> None:
        """Overwrite the keys and drop the ciphers; every use from now on raises SealError."""
        for key in (self._index_key, self._digest_key, *self._keys.values()):
            key[:] = bytes(len(key))
        self._keys.clear()
        # A cipher or a hash, and OpenSSL's context in it, hold what was made of the key and cannot be overwritten from
        # here: to drop the last reference is all that can be done. OpenSSL cleanses its copy as it frees it.
        self._ciphers.clear()
        self._index_hashes = ()

    def _opened(self) -> dict[int, bytearray]:
        if not self._keys:
            raise SealError("the keyring is closed; the root key must open it again")
        return self._keys

    def __repr__(self) -> str:
        return f"Keyring({self.domain.label}, ...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Keyring is never pickled or copied")


def _versions(value: object) -> dict[int, bytes]:
    if not isinstance(value, dict) or not value:
        raise canonical.damaged("versions")
    return {_version(name): canonical.unbase64(key, KEY_BYTES, "versions") for name, key in value.items()}


def _version(name: str) -> int:
    # isdecimal before int: int() would take a sign, spaces and underscores, and be slow on a long one.
    if len(name) > len(str(VERSION_MOST)) or not name.isdecimal() or not 1 <= int(name) <= VERSION_MOST:
        raise canonical.damaged("versions")
    return int(name)
