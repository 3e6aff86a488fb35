"""The plain text of an attributes record: canonical JSON, specified in docs/storage-format.md.

One spelling for one meaning: what does not read back to the same bytes is refused.
"""

from __future__ import annotations

import json
from typing import Any, Final

from secretd.errors import SecretdError, StoreCorruptError
from secretd.model import Attributes, Usage, UsageType

_COUNTER_MOST: Final = 2**64 - 1

_quoted = json.encoder.encode_basestring_ascii


def to_bytes(attributes: Attributes, value_counter: int) -> bytes:
    """Write the attributes of a persistent secret and the change counter of its value (0: it has none)."""
    # What canonical.dump would write, spelt out: each record that is opened is written again, to compare.
    description = "null" if attributes.description is None else _quoted(attributes.description)
    usage = attributes.usage
    pair = f'["{usage.type.value}",{_quoted(usage.id)}]' if usage else "null"
    private = "true" if attributes.private else "false"
    return f'{{"description":{description},"private":{private},"usage":{pair},"value":{value_counter}}}'.encode("ascii")


def from_bytes(plaintext: bytes) -> tuple[Attributes, int]:
    """Read what ``to_bytes`` wrote.

    Raises:
        StoreCorruptError: it did not write this; as the record was authentic, another program of ours did.
    """
    read = _try_read(plaintext)
    if read is None or to_bytes(*read) != plaintext:
        raise StoreCorruptError("the attributes of a secret are in a form this version does not know")
    return read


def _try_read(plaintext: bytes) -> tuple[Attributes, int] | None:
    # Raised from here, a StoreCorruptError would carry the parser's error, and that carries the plaintext.
    try:
        return _read(json.loads(plaintext.decode("ascii")))
    except (ValueError, TypeError, LookupError, RecursionError, SecretdError):
        return None


def _read(members: dict[str, Any]) -> tuple[Attributes, int]:
    usage, private, value_counter = members["usage"], members["private"], members["value"]
    # Compared alone these would pass: 0 is written as 0 and an array as an array, whatever they are meant to be.
    if type(private) is not bool or type(value_counter) is not int or not 0 <= value_counter <= _COUNTER_MOST:
        raise TypeError("not of the types that to_bytes writes")
    return (
        Attributes(
            usage=Usage(UsageType(usage[0]), usage[1]) if usage is not None else None,
            description=members["description"],
            private=private,
        ),
        value_counter,
    )
