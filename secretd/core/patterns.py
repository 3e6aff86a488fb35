"""Patterns for the ids of usages, and of keys, which hold no slash: whether one matches an id.

A pattern is compared in a time that is bounded by the lengths of both, and none makes that explode.  Each is made into
an expression once, when it is first needed, however many grants have it and however often these are made ready: that
takes some hundred times as long as to compare it.

Source: docs/access.md, "Scopes and patterns".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from weakref import WeakValueDictionary


class Pattern:
    """A pattern with a star in it.

    Attributes:
        prefix, suffix: with these begins and ends whatever it matches.
    """

    __slots__ = ("__weakref__", "_between", "_expression", "_text", "prefix", "suffix")

    def __init__(self, text: str) -> None:
        self.prefix, *between, self.suffix = text.split("*")
        self._between = max(between, key=len, default="")
        self._text = text
        self._expression: re.Pattern[str] | None = None

    def matches(self, its_id: str) -> bool:
        """Whether it matches an id, for which any spelling will do."""
        if self._between not in its_id:
            return False
        if self._expression is None:
            self._expression = _expression(self._text)
        return self._expression.fullmatch(its_id) is not None


_patterns: WeakValueDictionary[str, Pattern] = WeakValueDictionary()


def pattern_of(text: str) -> Pattern:
    """Give the pattern of this text: the same one, as long as anybody has it."""
    pattern = _patterns.get(text)
    if pattern is None:
        pattern = _patterns[text] = Pattern(text)
    return pattern


def has_stars(pattern: str) -> bool:
    """Whether a pattern is more than the id that it matches."""
    return "*" in pattern


def _expression(pattern: str) -> re.Pattern[str]:
    first, *others = re.split(r"\*{2,}", pattern)
    return re.compile(_segment(first, is_last=not others) + "".join(_floating(others)))


# Backtracking is cut off, by (?>...), wherever the earliest match is as good as any other: a "**" stands behind each
# segment but the last, a star behind each literal that is cut off so, and these take whatever is left over.  What has
# to reach a slash or the end has one place where it can match.  So the stars of a pattern do not multiply.


def _floating(segments: list[str]) -> Iterator[str]:
    """Make the expression of each segment that stands behind a ``**``: over some whole parts, then into one."""
    for number, segment in enumerate(segments, 1):
        if number < len(segments):
            yield f"(?>(?:[^/]*/)*?{_segment(f'*{segment}', is_last=False)})"
        else:
            yield f"(?:[^/]*/)*?{_segment(f'*{segment}', is_last=True)}" if segment else "(?s:.*)"


def _segment(segment: str, *, is_last: bool) -> str:
    """Make the expression of what stands between two ``**``; it has to reach the end if it is the last one."""
    *parts, last = segment.split("/")
    return "/".join([*(_part(part, is_open=False) for part in parts), _part(last, is_open=not is_last)])


def _part(part: str, *, is_open: bool) -> str:
    """Make the expression of what stands between two slashes; it is open if a ``**`` follows."""
    first, *others = map(re.escape, part.split("*"))
    expressions = [f"(?>[^/]*?{literal})" for literal in others]
    if others and not is_open:
        expressions[-1] = f"[^/]*{others[-1]}"
    return first + "".join(expressions)
