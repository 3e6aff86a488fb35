"""A key file of Proxmox Backup: its form, read and written; what is in it is opened by crypto.pbskey.

What is known is read strictly and unknown members are passed over.  A refusal is a KeyFileError that names the place in
the file, never what stood there: in an unprotected file that may be the key itself.

Source: docs/pbs.md.
"""

from __future__ import annotations

import json
import re
import unicodedata
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from secretd import limits
from secretd.errors import InvalidRequestError, KeyFileError
from secretd.moments import moment_of

KEY_BYTES: Final = 32
IV_BYTES: Final = 16
TAG_BYTES: Final = 16
PROTECTED_BYTES: Final = IV_BYTES + TAG_BYTES + KEY_BYTES
FINGERPRINT_BYTES: Final = 32
SHORT_FINGERPRINT_BYTES: Final = 8

_NUMBER_MOST = 2**63 - 1
_TIME_MOST = 253_402_300_799  # the last second of the year 9999
_TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})")
_FINGERPRINT = re.compile("[0-9a-fA-F]{64}")
_UNSEEN = {"Cc", "Cf", "Cn", "Cs", "Zl", "Zp"}  # controls, formats, what is no character, ends of lines
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_Members: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True)
class ScryptKdf:
    """Scrypt (RFC 7914), and its costs.

    Args:
        n, r, p: at least 1; whether they are lawful, and can be borne, is for who derives.
        salt: any number of bytes.
    """

    n: int
    r: int
    p: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Pbkdf2Kdf:
    """PBKDF2 with HMAC-SHA256 (RFC 8018), and its cost.

    Args:
        iterations: at least 1; whether that can be borne is for who derives.
        salt: any number of bytes.
    """

    iterations: int
    salt: bytes


Kdf: TypeAlias = ScryptKdf | Pbkdf2Kdf


@dataclass(frozen=True, slots=True)
class KeyFile:
    """What a key file says.

    Args:
        kdf: what derives from the password the key that protects it; None if it is unprotected.
        created, modified: seconds since 1970, of a year up to 9999.
        data: the key, KEY_BYTES long; if it is protected PROTECTED_BYTES: IV, tag, and ciphertext.
        fingerprint: the key's, FINGERPRINT_BYTES long, if the file says it.
        hint: what shall remind of the password, as ``shown_hint`` leaves it, if the file says it.
    """

    kdf: Kdf | None
    created: int
    modified: int
    data: bytes = field(repr=False)
    fingerprint: bytes | None = None
    hint: str | None = None


def format_fingerprint(fingerprint: bytes) -> str:
    """Write a fingerprint, or its short form, as Proxmox Backup does: in lower-case hex, the bytes joined by ``:``."""
    return fingerprint.hex(":")


def short_fingerprint(fingerprint: bytes) -> str:
    """Write the short form of a fingerprint, by which people tell keys apart: its first 8 bytes."""
    return format_fingerprint(fingerprint[:SHORT_FINGERPRINT_BYTES])


def check_hint(hint: str) -> None:
    """Refuse a hint that Proxmox Backup would not take.

    Raises:
        InvalidRequestError: it has not 1 to limits.HINT_CHARACTERS characters, or one that does not show.
    """
    if not 1 <= len(hint) <= limits.HINT_CHARACTERS:
        raise InvalidRequestError(f"a hint has 1 to {limits.HINT_CHARACTERS} characters")
    if any(unicodedata.category(character) in _UNSEEN for character in hint):
        raise InvalidRequestError("a hint has no control characters")


def shown_hint(hint: str) -> str | None:
    """Make of a foreign hint one that can be shown: cut if it is long, with U+FFFD for what does not show; or None."""
    cut = hint[: limits.HINT_CHARACTERS]
    return "".join("\ufffd" if unicodedata.category(character) in _UNSEEN else character for character in cut) or None


def dump(file: KeyFile) -> bytes:
    """Write a key file as Proxmox Backup does: compact, its members in this order, times with an offset."""
    document: _Members = {
        "kdf": _kdf_document(file.kdf),
        "created": _time_text(file.created),
        "modified": _time_text(file.modified),
        "data": b64encode(file.data).decode("ascii"),
    }
    if file.fingerprint is not None:
        document["fingerprint"] = format_fingerprint(file.fingerprint)
    if file.hint is not None:
        document["hint"] = file.hint
    return _ENCODER.encode(document).encode()


def _kdf_document(kdf: Kdf | None) -> _Members | None:
    if kdf is None:
        return None
    salt = b64encode(kdf.salt).decode("ascii")
    if isinstance(kdf, ScryptKdf):
        return {"Scrypt": {"n": kdf.n, "r": kdf.r, "p": kdf.p, "salt": salt}}
    return {"PBKDF2": {"iter": kdf.iterations, "salt": salt}}


def _time_text(seconds: int) -> str:
    return moment_of(seconds).isoformat()


def parse(data: bytes) -> KeyFile:
    """Read a key file of at most limits.VALUE_BYTES.

    Raises:
        KeyFileError: it is none: too long, cut short, of an unknown form; the message says what is wrong with it.
    """
    members = _load(data)
    kdf = _kdf(_member(members, "kdf"))
    return KeyFile(
        kdf,
        _time(members, "created"),
        _time(members, "modified"),
        _data(members, PROTECTED_BYTES if kdf else KEY_BYTES),
        _fingerprint(members.get("fingerprint")),
        _hint(members.get("hint")),
    )


def _load(data: bytes) -> _Members:
    if len(data) > limits.VALUE_BYTES:
        raise KeyFileError(f"a key file has at most {limits.VALUE_BYTES} bytes")
    document = _parse_json(data)
    if not isinstance(document, dict):
        raise KeyFileError("this is no key file of Proxmox Backup, or it was cut short: it is no JSON object in UTF-8")
    return document


def _parse_json(data: bytes) -> object:
    # The parser's error holds the whole document, which may be the key itself: so it ends here, and what is raised
    # instead is raised by the caller, outside of this handler, and does not carry it as its context.
    try:
        return json.loads(data.decode(), object_pairs_hook=_each_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _each_once(pairs: list[tuple[str, object]]) -> _Members:
    # Of two members of one name readers take the first, the last or none: then one file would be two keys.
    members = dict(pairs)
    if len(members) < len(pairs):
        raise KeyFileError("this key file has a member twice")
    return members


def _no_constant(_: str) -> object:
    raise ValueError  # NaN and Infinity, which Python reads and JSON does not have


def _wrong(name: str, rule: str) -> KeyFileError:
    return KeyFileError(f"this key file is damaged, or of a form that is not known here: its '{name}' is not {rule}")


def _member(members: _Members, name: str) -> object:
    if name not in members:
        raise KeyFileError(f"this is no key file of Proxmox Backup: it has no '{name}'")
    return members[name]


def _text(members: _Members, name: str) -> str:
    value = _member(members, name)
    if not isinstance(value, str):
        raise _wrong(name, "a text")
    return value


def _number(members: _Members, name: str) -> int:
    value = _member(members, name)
    # JSON's true is an int to Python.
    if type(value) is not int or not 1 <= value <= _NUMBER_MOST:
        raise _wrong(name, "a number from 1 on")
    return value


def _base64(members: _Members, name: str) -> bytes:
    text = _text(members, name)
    decoded = _decode(text)
    # One spelling for one meaning: bits that are left over are 0.
    if decoded is None or b64encode(decoded).decode("ascii") != text:
        raise _wrong(name, "padded base64")
    return decoded


def _decode(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None


def _kdf(value: object) -> Kdf | None:
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) != 1:
        raise _wrong("kdf", "null or one object")
    ((name, costs),) = value.items()
    if name not in {"Scrypt", "PBKDF2"}:
        raise KeyFileError("this key file is protected in a way that is not known here: neither Scrypt nor PBKDF2")
    if not isinstance(costs, dict):
        raise _wrong(name, "an object")
    if name == "Scrypt":
        return ScryptKdf(_number(costs, "n"), _number(costs, "r"), _number(costs, "p"), _base64(costs, "salt"))
    return Pbkdf2Kdf(_number(costs, "iter"), _base64(costs, "salt"))


def _time(members: _Members, name: str) -> int:
    seconds = _seconds(_text(members, name))
    if seconds is None or not 0 <= seconds <= _TIME_MOST:
        raise _wrong(name, "a time from 1970 on, such as 2027-12-31T23:59:59+00:00")
    return seconds


def _seconds(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) if _TIME.fullmatch(text) else None
    except ValueError:  # the 30th of February, say
        return None


def _data(members: _Members, length: int) -> bytes:
    data = _base64(members, "data")
    if len(data) < length:
        raise KeyFileError(f"this key file is short: its 'data' has {len(data)} bytes, where {length} are needed")
    if len(data) > length:
        raise _wrong("data", f"{length} bytes")
    return data


def _fingerprint(value: object) -> bytes | None:
    if value is None:
        return None
    spelled = value.replace(":", "") if isinstance(value, str) else ""
    if not _FINGERPRINT.fullmatch(spelled):
        raise _wrong("fingerprint", f"{FINGERPRINT_BYTES} bytes in hex")
    return bytes.fromhex(spelled)


def _hint(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong("hint", "a text")
    return shown_hint(value)
