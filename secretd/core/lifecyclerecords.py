"""The records that say what befell secrets, beside their attributes: who is left out of lists, whose id is used up.

Each holds one moment.  Source: docs/storage-format.md, "What stands in the store".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from secretd.crypto import envelope
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.errors import StoreCorruptError
from secretd.lifecycle import Lifecycle
from secretd.store.base import Put
from secretd.store.reading import Record

_MOMENT = struct.Struct(">Q")


def left_out(lifecycle: Lifecycle) -> int | None:
    """Say what is noted of a secret that lists leave out: when it will be deleted, or 0; None of one that they show."""
    return None if lifecycle.out_of_use is None else lifecycle.due or 0


def sealed(keyrings: Mapping[Domain, Keyring], key: bytes, counter: int, moment: int) -> Put:
    """Write down a moment, in seconds since 1970."""
    return Put(key, envelope.seal(keyrings[Domain.SHARED], key, counter, _MOMENT.pack(moment)))


def moment_in(keyrings: Mapping[Domain, Keyring], record: Record) -> int:
    """Read what ``sealed`` wrote down.

    Raises:
        StoreCorruptError: the record does not open, or holds something else.
    """
    plaintext = envelope.open_record(keyrings, record.key, record.value).plaintext
    if len(plaintext) != _MOMENT.size:
        raise StoreCorruptError("a moment is in a form this version does not know")
    moment: int = _MOMENT.unpack(plaintext)[0]
    return moment
