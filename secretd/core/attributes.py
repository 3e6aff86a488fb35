"""The plain text of an attributes record: canonical JSON, specified in docs/storage-format.md.

One spelling for one meaning: what to_bytes would have written otherwise is refused.
"""

from __future__ import annotations

import json
import re
from typing import Final

from secretd.core import lifecycleform
from secretd.crypto import canonical
from secretd.errors import SecretdError, StoreCorruptError
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle
from secretd.model import Attributes, Usage, UsageType

_COUNTER_MOST: Final = 2**64 - 1
_TYPES: Final = {kind.value: kind for kind in UsageType}

_quoted = json.encoder.encode_basestring_ascii

_TEXT: Final = r'"((?:[ !#-\[\]-~]|\\.)*+)"'
_OBJECT: Final = r'\{(?:[ !#-\[\]-z|]|"(?:[ !#-\[\]-~]|\\.)*+")*+\}'
"""One without another in it; what is in it is looked at by itself, as it is seldom there."""
_SPELLING: Final = re.compile(
    rf'\{{"description":(?:null|{_TEXT}),(?:"lifecycle":({_OBJECT}),)?"private":(?:false|(true)),'
    rf'"usage":(?:null|\["([a-z0-9]++)",{_TEXT}\]),"value":(0|[1-9][0-9]{{0,19}})\}}'
)
"""What to_bytes writes: a reader of any JSON takes twice as long, and each cold read of a secret reads one."""


def to_bytes(attributes: Attributes, value_counter: int, lifecycle: Lifecycle = NOTHING_BEFELL) -> bytes:
    """Write the attributes of a secret, the change counter of its value (0: it has none), and what befell it."""
    # What canonical.dump would write, spelt out: it takes a quarter of the time.
    description = "null" if attributes.description is None else _quoted(attributes.description)
    usage = attributes.usage
    pair = f'["{usage.type.value}",{_quoted(usage.id)}]' if usage else "null"
    private = "true" if attributes.private else "false"
    befell = "" if lifecycle is NOTHING_BEFELL else _written(lifecycle)
    return (
        f'{{"description":{description},{befell}"private":{private},"usage":{pair},"value":{value_counter}}}'
    ).encode("ascii")


def from_bytes(plaintext: bytes) -> tuple[Attributes, int, Lifecycle]:
    """Read what ``to_bytes`` wrote.

    Raises:
        StoreCorruptError: it did not write this; as the record was authentic, another program of ours did.
    """
    read = _try_read(plaintext)
    if read is None:
        raise StoreCorruptError("the attributes of a secret are in a form this version does not know")
    return read


def _try_read(plaintext: bytes) -> tuple[Attributes, int, Lifecycle] | None:
    # Raised from here, a StoreCorruptError would carry an error that carries the plaintext.
    try:
        read = _read(plaintext.decode("ascii"))
    except (ValueError, KeyError, SecretdError):
        return None
    # Only what is escaped, or what befell it, could be spelt otherwise.
    if read is None or ((b"\\" in plaintext or read[2] is not NOTHING_BEFELL) and to_bytes(*read) != plaintext):
        return None
    return read


def _read(text: str) -> tuple[Attributes, int, Lifecycle] | None:
    spelt = _SPELLING.fullmatch(text)
    if spelt is None:
        return None
    description, lifecycle, private, usage_type, usage_id, value_counter = spelt.groups()
    attributes = Attributes(
        usage=Usage(_TYPES[usage_type], _unquoted(usage_id)) if usage_type is not None else None,
        description=_unquoted(description) if description is not None else None,
        private=private is not None,
    )
    counter = int(value_counter)
    befell = NOTHING_BEFELL if lifecycle is None else lifecycleform.from_json(json.loads(lifecycle))
    return (attributes, counter, befell) if counter <= _COUNTER_MOST else None


def _written(lifecycle: Lifecycle) -> str:
    members = lifecycleform.to_json(lifecycle)
    return f'"lifecycle":{canonical.dump(members).decode("ascii")},' if members is not None else ""


def _unquoted(text: str) -> str:
    unquoted: str = json.loads(f'"{text}"') if "\\" in text else text
    return unquoted
