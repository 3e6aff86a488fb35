"""Colours, for a terminal and for nothing else.

None goes into a pipe or a file, none where NO_COLOR is set to anything but nothing, and none to a terminal that
says it is dumb or does not say what it is.

Source: no-color.org; ECMA-48, section 8.3.117 (SGR).
"""

from __future__ import annotations

import os
from typing import TextIO

_BOLD = "1"
_BOLD_RED = "1;31"

# What readline is told about a prompt: what stands between these takes no room on the line.
_NO_ROOM, _ROOM_AGAIN = "\x01", "\x02"


def wanted(stream: TextIO) -> bool:
    """Say whether what is written to this stream may have colours."""
    return is_smart(stream) and not os.environ.get("NO_COLOR")


def is_smart(stream: TextIO) -> bool:
    """Say whether this stream is a terminal that understands more than text."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def alarming(text: str, stream: TextIO) -> str:
    """Draw the eye to what went wrong."""
    return _dress(text, _BOLD_RED, stream)


def heading(text: str, stream: TextIO) -> str:
    """Set the head of a table apart."""
    return _dress(text, _BOLD, stream)


def prompt(text: str, stream: TextIO) -> str:
    """Set a prompt apart, as input() takes it."""
    return f"{_NO_ROOM}\x1b[{_BOLD}m{_ROOM_AGAIN}{text}{_NO_ROOM}\x1b[0m{_ROOM_AGAIN}" if wanted(stream) else text


def _dress(text: str, how: str, stream: TextIO) -> str:
    return f"\x1b[{how}m{text}\x1b[0m" if wanted(stream) else text
