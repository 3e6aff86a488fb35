"""The encryption context in its one spelling: what a blob is bound to, and whoever opens it has to give again.

Source: docs/storage-format.md, "Blobs".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode


def spell_context(context: Mapping[str, str]) -> bytes:
    """Write an encryption context, whose bounds its reader has judged; no two of them are written alike.

    Args:
        context: names and texts, all of Unicode's scalar values.
    """
    # Python sorts texts by code points, and escapes just what the page says. A text by itself is written several times
    # as fast as a map that holds it.
    pairs = ",".join([f"{_quoted(name)}:{_quoted(context[name])}" for name in sorted(context)])
    return f"{{{pairs}}}".encode()
