"""Moments, in UTC and to the second: how they are written, and how they are kept.

Source: RFC 3339, of which this is one spelling: ``2027-12-31T23:59:59Z``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z")


def format_time(moment: datetime) -> str:
    """Write a moment: ``2027-12-31T23:59:59Z``."""
    return f"{moment.replace(tzinfo=None).isoformat()}Z"


def parse_time(text: str) -> datetime | None:
    """Read what ``format_time`` writes; None if it is no moment in that one spelling."""
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC) if _TIME.fullmatch(text) else None
    except ValueError:  # the 30th of February, say
        return None


def moment_of(seconds: int) -> datetime:
    """Give the moment so many seconds after the beginning of 1970, of a year up to 9999."""
    return datetime.fromtimestamp(seconds, UTC)
