"""The plain text of an attributes record: canonical JSON, specified in docs/storage-format.md.

One spelling for one meaning: what to_bytes would have written otherwise is refused.
"""

from __future__ import annotations

import json
import re
from typing import Final

from secretd.errors import SecretdError, StoreCorruptError
from secretd.model import Attributes, Usage, UsageType

_COUNTER_MOST: Final = 2**64 - 1

_quoted = json.encoder.encode_basestring_ascii

_TEXT: Final = r'"((?:[ !#-\[\]-~]|\\.)*+)"'
_SPELLING: Final = re.compile(
    rf'\{{"description":(?:null|{_TEXT}),"private":(?:false|(true)),'
    rf'"usage":(?:null|\["([a-z0-9]++)",{_TEXT}\]),"value":(0|[1-9][0-9]{{0,19}})\}}'
)
"""What to_bytes writes: a reader of any JSON takes twice as long, and each cold read of a secret reads one."""


def to_bytes(attributes: Attributes, value_counter: int) -> bytes:
    """Write the attributes of a persistent secret and the change counter of its value (0: it has none)."""
    # What canonical.dump would write, spelt out: it takes a quarter of the time.
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
    if read is None:
        raise StoreCorruptError("the attributes of a secret are in a form this version does not know")
    return read


def _try_read(plaintext: bytes) -> tuple[Attributes, int] | None:
    # Raised from here, a StoreCorruptError would carry an error that carries the plaintext.
    try:
        read = _read(plaintext.decode("ascii"))
    except (ValueError, SecretdError):
        return None
    # Only what is escaped could be spelt otherwise.
    if read is None or (b"\\" in plaintext and to_bytes(*read) != plaintext):
        return None
    return read


def _read(text: str) -> tuple[Attributes, int] | None:
    spelt = _SPELLING.fullmatch(text)
    if spelt is None:
        return None
    description, private, usage_type, usage_id, value_counter = spelt.groups()
    attributes = Attributes(
        usage=Usage(UsageType(usage_type), _unquoted(usage_id)) if usage_type is not None else None,
        description=_unquoted(description) if description is not None else None,
        private=private is not None,
    )
    counter = int(value_counter)
    return (attributes, counter) if counter <= _COUNTER_MOST else None


def _unquoted(text: str) -> str:
    unquoted: str = json.loads(f'"{text}"') if "\\" in text else text
    return unquoted
