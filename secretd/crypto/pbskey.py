"""What is in a key file of Proxmox Backup: opened and protected by a password, and known by a fingerprint.

What a foreign file asks for is bounded before anything is derived.  No byte of a key is given out before the tag was
checked, and the fingerprint if the file has one.  Nothing here reads a clock or draws anything at random.

The KDFs are the standard library's: they let other threads run meanwhile, in every version of it.

Source: docs/pbs.md; RFC 7914 for scrypt, RFC 8018 for PBKDF2, NIST SP 800-38D for AES-GCM.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from secretd import limits
from secretd.crypto.pbskeyfile import (
    IV_BYTES,
    KEY_BYTES,
    TAG_BYTES,
    Kdf,
    KeyFile,
    Pbkdf2Kdf,
    ScryptKdf,
    dump,
    short_fingerprint,
)
from secretd.errors import InvalidRequestError, KeyFileError, WrongPasswordError

SALT_BYTES: Final = 32

_ID_SALT = b"_id_key"
_ID_ITERATIONS = 10
_FINGERPRINT_INPUT = hashlib.sha256(b"Proxmox Backup Encryption Key Fingerprint").digest()

_SCRYPT_LANE = 128  # bytes: RFC 7914's block of r = 1
_BESIDE = 8
"""Beside its table, of n blocks, OpenSSL's scrypt has p + 2 more: they may take one of so many parts."""

_SCRYPT_RP_LESS = 2**30  # RFC 7914, section 2
_MEMORY_MOST = 2**31 - 1  # what hashlib can be told: more than may be configured, and what is beside it


@dataclass(frozen=True, slots=True)
class KdfBounds:
    """What may be spent on deriving one key.

    Args:
        memory: bytes, for scrypt; its work is bounded by the same (limits.KDF_PASSES).
        iterations: for PBKDF2.
    """

    memory: int = limits.KDF_MEMORY_BYTES
    iterations: int = limits.KDF_ITERATIONS


@dataclass(frozen=True, slots=True)
class Protection:
    """What protects a file that is written.

    Args:
        kdf: the KDF, with a new random salt.
        password: at least limits.PASSWORD_BYTES_LEAST bytes.
        iv: IV_BYTES new random bytes.
        hint: what shall remind of the password; see ``pbskeyfile.check_hint``.
    """

    kdf: Kdf
    password: bytes = field(repr=False)
    iv: bytes
    hint: str | None = None


def scrypt_kdf(salt: bytes) -> ScryptKdf:
    """Give scrypt with the costs of Proxmox Backup: it takes 64 MiB; ``salt`` has SALT_BYTES."""
    return ScryptKdf(65_536, 8, 1, salt)


def pbkdf2_kdf(salt: bytes) -> Pbkdf2Kdf:
    """Give PBKDF2 with the cost of Proxmox Backup, one less than might be thought; ``salt`` has SALT_BYTES."""
    return Pbkdf2Kdf(65_535, salt)


def id_key(key: bytes) -> bytes:
    """Derive from a key the key by which Proxmox Backup makes digests and authenticates: 32 bytes."""
    return hashlib.pbkdf2_hmac("sha256", key, _ID_SALT, _ID_ITERATIONS)


def fingerprint(key: bytes) -> bytes:
    """Give a key's fingerprint: 32 bytes that anybody may see."""
    return hashlib.sha256(_FINGERPRINT_INPUT + id_key(key)).digest()


def check_costs(kdf: Kdf, bounds: KdfBounds) -> None:
    """Refuse what costs too much to derive, before anything is.

    Raises:
        KeyFileError: the costs are none that the KDF has, or are above ``bounds``.
    """
    if isinstance(kdf, ScryptKdf):
        _check_scrypt(kdf, bounds)
    elif kdf.iterations > bounds.iterations:
        raise KeyFileError(
            f"this key file asks for {kdf.iterations} iterations of PBKDF2, and may ask for at most {bounds.iterations}"
        )


def _check_scrypt(kdf: ScryptKdf, bounds: KdfBounds) -> None:
    n, r, p = kdf.n, kdf.r, kdf.p
    is_power = n > 1 and not n & (n - 1)
    if not is_power or r * p >= _SCRYPT_RP_LESS or n.bit_length() > 16 * r:
        raise KeyFileError("this key file's costs are none that scrypt has")
    table, beside = _SCRYPT_LANE * n * r, _SCRYPT_LANE * r * (p + 2)
    if table > bounds.memory or _BESIDE * beside > bounds.memory:
        raise KeyFileError(
            f"this key file asks for {table} bytes of memory to derive from its password, and {beside} beside them;"
            f" it may ask for at most {bounds.memory}, and a {_BESIDE}th of that beside"
        )
    # A small table and a huge p would take hours.
    if table * p > limits.KDF_PASSES * bounds.memory:
        raise KeyFileError(
            f"this key file asks for {table * p} bytes of scrypt's work, and may ask for at most"
            f" {limits.KDF_PASSES * bounds.memory}"
        )


def derive(kdf: Kdf, password: bytes) -> bytes:
    """Derive from a password the KEY_BYTES that protect a key; takes as long as the costs say, which are lawful.

    ``check_costs`` is who says so.
    """
    if isinstance(kdf, Pbkdf2Kdf):
        return hashlib.pbkdf2_hmac("sha256", password, kdf.salt, kdf.iterations)
    return hashlib.scrypt(password, salt=kdf.salt, n=kdf.n, r=kdf.r, p=kdf.p, maxmem=_MEMORY_MOST, dklen=KEY_BYTES)


def open_key_file(file: KeyFile, password: bytes | None, bounds: KdfBounds) -> bytes:
    """Give the key in a file, KEY_BYTES long.

    Args:
        file: what ``pbskeyfile.parse`` gave.
        password: the file's; None if there is none to give.
        bounds: what may be spent.

    Raises:
        WrongPasswordError: the password does not open it, is shorter than any, or is missing; the message has the hint.
        InvalidRequestError: there is a password, and the file is not protected.
        KeyFileError: its costs are above the bounds, or its fingerprint is not the key's.
    """
    key = _plain(file, password) if file.kdf is None else _unprotected(file, file.kdf, password, bounds)
    found = fingerprint(key)
    if file.fingerprint is not None and not hmac.compare_digest(found, file.fingerprint):
        raise KeyFileError(
            f"the key in this file is {short_fingerprint(found)}, and the file says that it is"
            f" {short_fingerprint(file.fingerprint)}: it is damaged, or was changed"
        )
    return key


def _plain(file: KeyFile, password: bytes | None) -> bytes:
    if password is not None:
        raise InvalidRequestError("this key file is not protected: leave the password away")
    return file.data


def _unprotected(file: KeyFile, kdf: Kdf, password: bytes | None, bounds: KdfBounds) -> bytes:
    if password is None:
        raise _wrong_password(file, "this key file is protected: it needs its password")
    if len(password) < limits.PASSWORD_BYTES_LEAST:
        raise _wrong_password(file, f"the password is too short: one has at least {limits.PASSWORD_BYTES_LEAST} bytes")
    check_costs(kdf, bounds)
    key = _decrypt(derive(kdf, password), file.data)
    if key is None:
        raise _wrong_password(file, "the password does not open this key file, or the file is damaged")
    return key


def _wrong_password(file: KeyFile, message: str) -> WrongPasswordError:
    return WrongPasswordError(f"{message}; its hint is: {file.hint}" if file.hint else message)


def _decrypt(wrapping: bytes, data: bytes) -> bytes | None:
    iv, tag, ciphertext = data[:IV_BYTES], data[IV_BYTES : IV_BYTES + TAG_BYTES], data[IV_BYTES + TAG_BYTES :]
    try:
        return AESGCM(wrapping).decrypt(iv, ciphertext + tag, None)
    except InvalidTag:
        return None


def write_key_file(key: bytes, created: int, modified: int, protection: Protection | None) -> bytes:
    """Write a key file, with the key's fingerprint.

    Args:
        key: KEY_BYTES.
        created, modified: seconds since 1970, of a year up to 9999.
        protection: what protects it; None to leave it unprotected.

    Raises:
        InvalidRequestError: the password is too short.
    """
    data, kdf, hint = key, None, None
    if protection is not None:
        data, kdf, hint = _encrypt(key, protection), protection.kdf, protection.hint
    return dump(KeyFile(kdf, created, modified, data, fingerprint(key), hint))


def _encrypt(key: bytes, protection: Protection) -> bytes:
    if len(protection.password) < limits.PASSWORD_BYTES_LEAST:
        raise InvalidRequestError(f"a password of a key file has at least {limits.PASSWORD_BYTES_LEAST} bytes")
    sealed = AESGCM(derive(protection.kdf, protection.password)).encrypt(protection.iv, key, None)
    return protection.iv + sealed[KEY_BYTES:] + sealed[:KEY_BYTES]
