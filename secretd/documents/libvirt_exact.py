"""The ``<secret>`` document in the spelling that nearly all who define secrets give it, read without a parser.

libvirt's own, with either quotes and any white space between its elements: flags, id, description, usage, in this
order and each perhaps not there.  A document that is spelt otherwise, or has anything in it that is not right, is not
judged here at all: it is for the long way, which says what is wrong.  What is read here is read alike there, which a
property test holds (tests/documents/test_libvirt_exact.py).

The rules it keeps are those of exact.py: printable ASCII and no reference, and the same constructors as on the long
way.

Source: docs/adr/0016; libvirt 12.8, as it writes secrets.
"""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from secretd import limits
from secretd.documents.exact import TEXT
from secretd.documents.shapes import USAGE_CHILDREN
from secretd.errors import InvalidDocumentError
from secretd.model import Attributes, SecretDocument, Usage, UsageType

_SPACE: Final = "[ \t\n]*"
_TYPES: Final = "|".join(sorted(str(kind.value) for kind in USAGE_CHILDREN))
_TAGS: Final = "|".join(sorted(set(USAGE_CHILDREN.values())))


def _quoted(name: str, values: str) -> str:
    return f" {name}=(?P<of_{name}>['\"])(?P<{name}>{values})(?P=of_{name})"


_SECRET: Final = re.compile(
    f"{_SPACE}<secret(?:{_quoted('ephemeral', 'yes|no')})?(?:{_quoted('private', 'yes|no')})?>{_SPACE}"
    f"(?:<uuid>(?P<uuid>[0-9a-fA-F]{{8}}(?:-[0-9a-fA-F]{{4}}){{3}}-[0-9a-fA-F]{{12}})</uuid>{_SPACE})?"
    f"(?:<description>(?P<description>{TEXT})</description>{_SPACE})?"
    f"(?:<usage{_quoted('type', _TYPES)}>{_SPACE}<(?P<tag>{_TAGS})>(?P<usage>{TEXT})</(?P=tag)>{_SPACE}</usage>"
    f"{_SPACE})?"
    f"</secret>{_SPACE}"
)
_FIELDS: Final = ("ephemeral", "private", "uuid", "description", "type", "tag", "usage")


def read_exactly(body: bytes) -> SecretDocument | None:
    """Read a document of this spelling; None for any other."""
    found = _SECRET.fullmatch(body.decode("ascii", "replace")) if len(body) <= limits.DOCUMENT_BYTES else None
    if found is None:
        return None
    ephemeral, private, uuid, description, kind, tag, usage_id = found.group(*_FIELDS)
    if kind and USAGE_CHILDREN[UsageType(kind)] != tag:
        return None
    try:
        usage = Usage(UsageType(kind), usage_id) if kind else None
        attributes = Attributes(usage, description, ephemeral == "yes", private == "yes")
    except InvalidDocumentError:
        return None
    return SecretDocument(attributes, UUID(uuid) if uuid else None)
