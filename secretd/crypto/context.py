"""The encryption context in its one spelling: what a blob is bound to, and whoever opens it has to give again.

Source: docs/storage-format.md, "Blobs".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))

_OF_NOTHING: Final = b"{}"


def spell_context(context: Mapping[str, str]) -> bytes:
    """Write an encryption context, whose bounds its reader has judged; no two of them are written alike.

    Args:
        context: names and texts, all of Unicode's scalar values.
    """
    # Python sorts texts by code points, and escapes just what the page says.
    return _ENCODER.encode(context).encode() if context else _OF_NOTHING
