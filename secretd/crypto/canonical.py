"""Canonical JSON: the one spelling of a seal file and of a keyring's payload.

A document is one JSON object in ASCII, without white space, its members sorted.  What is read here is bounded,
and every helper takes exactly one type; that a document was canonical is for its reader to prove, by writing it
again and comparing.  A refusal is a SealError that names the place in the document, never what stood there.

Source: docs/storage-format.md, "Conventions".
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from uuid import UUID

from secretd import limits
from secretd.errors import SealError

INTEGER_MOST = 2**63 - 1

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def damaged(where: str) -> SealError:
    """Make the error for a document that is not as it must be at ``where``."""
    return SealError(f"the keyring is damaged ({where}); restore the seal file from its copy")


def dump(document: Mapping[str, object]) -> bytes:
    """Write ``document`` in its one spelling."""
    return _ENCODER.encode(document).encode("ascii")


def load(data: bytes) -> dict[str, object]:
    """Read a JSON object of at most limits.KEYRING_BYTES.

    Raises:
        SealError: it is too long, or no JSON object in ASCII.
    """
    if len(data) > limits.KEYRING_BYTES:
        raise damaged("its length")
    document = _parse(data)
    if not isinstance(document, dict):
        raise damaged("not a JSON object in ASCII")
    return document


def _parse(data: bytes) -> object:
    # The parser's error holds the whole document, which may be the keyring itself: so it ends here, and what
    # is raised instead is raised by the caller, outside of this handler, and does not carry it as its context.
    try:
        return json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        return None


def members(value: object, names: Iterable[str], where: str) -> dict[str, object]:
    """Take an object that has exactly the members ``names``."""
    if not isinstance(value, dict) or value.keys() != set(names):
        raise damaged(where)
    return value


def integer(value: object, where: str) -> int:
    """Take an integer from 1 to 2^63 - 1; JSON's true is none."""
    if type(value) is not int or not 1 <= value <= INTEGER_MOST:
        raise damaged(where)
    return value


def text(value: object, where: str) -> str:
    """Take a string."""
    if not isinstance(value, str):
        raise damaged(where)
    return value


def uuid(value: object, where: str) -> UUID:
    """Take a UUID."""
    spelled = text(value, where)
    try:
        return UUID(spelled)
    except ValueError:
        raise damaged(where) from None


def base64(data: bytes | bytearray) -> str:
    """Write ``data`` in base64."""
    return b64encode(data).decode("ascii")


def unbase64(value: object, length: int | None, where: str) -> bytes:
    """Take base64 of exactly ``length`` bytes, or of any number."""
    data = _decode(text(value, where))
    if data is None or length not in (None, len(data)):
        raise damaged(where)
    return data


def _decode(spelled: str) -> bytes | None:
    try:
        return b64decode(spelled, validate=True)
    except ValueError:
        return None
