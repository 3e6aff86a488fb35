"""The bytes of a key as they come in and go out: as they are, or in a key file of Proxmox Backup.

Source: docs/pbs.md.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from secretd import limits
from secretd.core.derivations import Derivations
from secretd.core.events import Listener
from secretd.crypto import pbskey, pbskeyfile
from secretd.crypto.pbskey import Protection
from secretd.errors import InvalidRequestError, InvalidValueError
from secretd.keyrequests import KeyExport, KeyImport
from secretd.keys import KeyFormat, KeyKdf


@dataclass(frozen=True, slots=True)
class Material:
    """The bytes of one version of a key, and what a key file says of them beside.

    Args:
        key: limits.KEY_BYTES bytes.
        created, modified: seconds since 1970; None where no file said it.
        hint: what shall remind of the file's password; at most limits.HINT_CHARACTERS.
    """

    key: bytes = field(repr=False)
    created: int | None = None
    modified: int | None = None
    hint: str | None = None


async def read(request: KeyImport, derivations: Derivations, waits: Listener | None = None) -> Material:
    """Give what is to be imported.

    Args:
        request: says it.
        derivations: derives what opens a protected file.
        waits: who waits for the answer; None for somebody who surely does.

    Raises:
        InvalidValueError: these are not the bytes of a key.
        InvalidRequestError: there is a password, and nothing is protected.
        KeyFileError, WrongPasswordError: as ``pbskeyfile.parse`` and ``pbskey.open_key_file``.
        BusyError: as ``Derivations.make``.
    """
    given = request.value.reveal()
    password = None if request.password is None else request.password.reveal()
    if request.format is KeyFormat.RAW:
        return _raw(given, password)
    file = pbskeyfile.parse(given)
    if file.kdf is None:
        key = pbskey.open_key_file(file, password, derivations.bounds)
    else:
        key = await derivations.make(lambda: pbskey.open_key_file(file, password, derivations.bounds), waits)
    return Material(key, file.created, file.modified, file.hint)


def _raw(given: bytes, password: bytes | None) -> Material:
    if password is not None:
        raise InvalidRequestError("a password is for a key file: 32 bytes as they are have none")
    if len(given) != limits.KEY_BYTES:
        raise InvalidValueError(f"a key has {limits.KEY_BYTES} bytes")
    return Material(given)


async def write(
    request: KeyExport, material: Material, created: int, derivations: Derivations, waits: Listener | None = None
) -> bytes:
    """Give what an export was asked for.

    Args:
        request: says it.
        material: the version's bytes, and what is kept of the file that they came from, if they did.
        created: when the version was made, in seconds since 1970, if no file says otherwise.
        derivations: derives what protects a file.
        waits: who waits for the answer; None for somebody who surely does.

    Raises:
        InvalidRequestError: a password without a KDF or the other way round, a hint that protects nothing or may not
            be one, a password that is too short; or any of these for 32 bytes as they are.
        BusyError: as ``Derivations.make``.
    """
    protection = _protection(request, material)
    if request.format is KeyFormat.RAW:
        return material.key
    made = created if material.created is None else material.created
    changed = made if material.modified is None else material.modified
    if protection is None:
        return pbskey.write_key_file(material.key, made, changed, None)
    return await derivations.make(lambda: pbskey.write_key_file(material.key, made, changed, protection), waits)


def _protection(request: KeyExport, material: Material) -> Protection | None:
    if request.kdf is KeyKdf.NONE:
        if request.password is not None or request.hint is not None:
            raise InvalidRequestError(
                "a password and its hint are for a protected file: name the KDF, scrypt or pbkdf2"
            )
        return None
    if request.format is KeyFormat.RAW:
        raise InvalidRequestError("32 bytes as they are cannot be protected: ask for a key file")
    if request.password is None:
        raise InvalidRequestError("a protected file needs a password")
    if request.hint:
        pbskeyfile.check_hint(request.hint)
    # An empty hint is how not to have the kept one, which is of the password that the file came with.
    hint = material.hint if request.hint is None else request.hint or None
    kdf = pbskey.scrypt_kdf if request.kdf is KeyKdf.SCRYPT else pbskey.pbkdf2_kdf
    return Protection(
        kdf(os.urandom(pbskey.SALT_BYTES)), request.password.reveal(), os.urandom(pbskeyfile.IV_BYTES), hint
    )


def fingerprint(key: bytes) -> str:
    """Give the fingerprint by which Proxmox Backup knows a key: 32 bytes in hex, joined by ``:``."""
    return pbskeyfile.format_fingerprint(pbskey.fingerprint(key))
