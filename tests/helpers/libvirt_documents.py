"""The documents whose fate at libvirt's daemon was recorded, and what was recorded of them."""

from __future__ import annotations

import json
from typing import Any

from helpers.tree import ROOT

Outcome = dict[str, Any]
"""``{"error": [code, domain]}``, or ``{"accepted": XML}`` without an id that the daemon made up."""

FLAGS = {"define": 0, "validate": 1}
"""The two ways to define a document, and their flags."""

RECORDED = ROOT / "tests" / "vectors" / "libvirt-documents.json"
VECTORS: list[dict[str, Any]] = json.loads(RECORDED.read_text(encoding="ascii"))["vectors"]


def body_of(vector: dict[str, Any]) -> bytes:
    """Give the document as it is sent."""
    if "hex" in vector:
        return bytes.fromhex(vector["hex"])
    return _whole(vector["document"] if "document" in vector else vector["parts"]).encode()


def recorded(vector: dict[str, Any], call: str, who: str = "12.8") -> Outcome:
    """Give what a version of libvirtd was recorded to answer, or what is expected of secretd ("ours")."""
    outcome: Outcome = vector.get(who, vector)[call]
    return {"accepted": _whole(outcome["accepted"])} if "accepted" in outcome else outcome


def _whole(text: str | list[tuple[str, int]]) -> str:
    """Put a text together of which a vector gives the parts, and how often each is repeated."""
    return text if isinstance(text, str) else "".join(part * times for part, times in text)
