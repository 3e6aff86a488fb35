"""Blobs: what the version of a key seals, and is given to the caller to keep.

A blob says in the clear which version of which key sealed it, and that is true only once it has opened.  It is bound to
that and to the encryption context.  It opens whole or not at all, and there is one reason only why one does not: so
nobody learns, by asking, what in it is wrong.

The bytes of a version seal nothing themselves, but a key that is derived from them does: one that serves elsewhere too,
as that of a backup server's client, is used here as another.  Nonces are random, so its uses are counted, in
core/versionuses.py.

Source: docs/storage-format.md, "Blobs".
"""

from __future__ import annotations

import hmac
import struct
from typing import Final, NamedTuple

from secretd import limits
from secretd.crypto.box import OVERHEAD_BYTES, Cipher, open_box, seal_box
from secretd.keys import KeyId, key_id_of

_MAGIC: Final = b"sdb\x01"
_LABEL: Final = b"secretd blob\x00"
_ID_LENGTH_AT: Final = len(_MAGIC)
_ID_AT: Final = _ID_LENGTH_AT + 1
_VERSION: Final = struct.Struct(">I")


class Sealer(NamedTuple):
    """What a blob says of itself in the clear.

    Attributes:
        key: which key sealed it.
        version: which of its versions, 1 to 2^32 - 1.
        end: how many bytes say so: where its box begins.
    """

    key: KeyId
    version: int
    end: int


def seal_blob(material: bytes, key: KeyId, version: int, context: bytes, plaintext: bytes) -> bytes:
    """Seal ``plaintext``.

    Args:
        material: the bytes of the version, limits.KEY_BYTES.
        key: the key's id.
        version: its version, 1 to 2^32 - 1.
        context: the encryption context, as ``spell_context`` writes it.
        plaintext: 1 to limits.VALUE_BYTES bytes.
    """
    name = key.encode("ascii")
    head = b"".join((_MAGIC, bytes((len(name),)), name, _VERSION.pack(version)))
    return head + seal_box(_cipher(material), plaintext, b"".join((_LABEL, head, context)))


def peek_blob(blob: bytes) -> Sealer | None:
    """Read what a blob says of itself, which nothing proves yet; None if it is none."""
    if not blob.startswith(_MAGIC) or len(blob) <= _ID_LENGTH_AT:
        return None
    version_at = _ID_AT + blob[_ID_LENGTH_AT]
    end = version_at + _VERSION.size
    if not 0 < len(blob) - end - OVERHEAD_BYTES <= limits.VALUE_BYTES:
        return None
    name = blob[_ID_AT:version_at].decode("latin-1")
    (version,) = _VERSION.unpack_from(blob, version_at)
    # One spelling for one key: its id is compared too, as a UUID can be written in two cases.
    if not version or key_id_of(name) != name:
        return None
    return Sealer(KeyId(name), version, end)


def open_blob(material: bytes, sealer: Sealer, context: bytes, blob: bytes) -> bytes | None:
    """Give what is in a blob; None if it was not sealed so.

    Args:
        material: the bytes of the version of the key that ``sealer`` names.
        sealer: what ``peek_blob`` said of this blob.
        context: as for ``seal_blob``.
        blob: the blob.
    """
    head = blob[: sealer.end]
    return open_box(_cipher(material), blob[sealer.end :], b"".join((_LABEL, head, context)))


def _cipher(material: bytes) -> Cipher:
    return Cipher(hmac.digest(material, _LABEL, "sha256"))
