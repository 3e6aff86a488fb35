"""What grants mean for a caller and a secret: patterns, and grants made ready to be asked often.

Pure: no clock, no store, no system.  Grants add up, so each permission of each principal is kept as the moment until
which it lasts, at the place where a target leads to it: for every secret, by id, by usage.  What a question costs does
not grow with the number of grants, but for patterns that begin alike.

What the kernel and systemd know of a caller's process is asked for only if a grant could turn on it, and last.

The rules it keeps: a secret's usage is compared character by character; the id of a volume that is not spelt as paths
are is reached by no pattern with a star; a pattern is compared in a time that is bounded by the lengths of both, and no
pattern makes that explode.

Source: docs/access.md, "Who is asking", "Grants" and "Scopes and patterns".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Final
from uuid import UUID

from secretd.core.access import EVERYTHING, Everything, Target
from secretd.grants import EverySecret, ExecutableIs, Grant, PrincipalKind, Scope, ThatSecret, UsageLike, is_plain_path
from secretd.model import Caller, Permission, Process, Usage, UsageType

_NEVER: Final = -math.inf
_FOR_EVER: Final = math.inf
_NO_PATTERNS: Final[dict[str, float]] = {}


# Patterns.


def matches(pattern: str, usage_type: UsageType, usage_id: str) -> bool:
    """Whether a pattern for usages of a type matches the id of one.

    Args:
        pattern: as UsageLike accepts it for this type.
        usage_type: of both.
        usage_id: compared as it is.
    """
    if "*" not in pattern:
        return usage_id == pattern
    if usage_type is UsageType.VOLUME and not is_plain_path(usage_id):
        return False
    return _expression(pattern).fullmatch(usage_id) is not None


@lru_cache(maxsize=16_384)
def _expression(pattern: str) -> re.Pattern[str]:
    """Make the regular expression of a pattern, when it is first needed: a change of grants does not wait for all."""
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


# What is reached, until when.


class _Usages:
    """The secrets with a usage of one type that are reached: all, by the id itself, or by a pattern.

    Patterns are kept by what stands before their first star, so that most of them need no look.
    """

    __slots__ = ("_all", "_ids", "_lengths", "_patterns")

    def __init__(self) -> None:
        self._all = _NEVER
        self._ids: dict[str, float] = {}
        self._patterns: dict[str, dict[str, float]] = {}
        self._lengths: set[int] = set()

    def add(self, pattern: str | None, until: float) -> None:
        if pattern is None:
            self._all = max(until, self._all)
            return
        prefix, star, _ = pattern.partition("*")
        if star:
            self._lengths.add(len(prefix))
        kept = self._patterns.setdefault(prefix, {}) if star else self._ids
        kept[pattern] = max(until, kept.get(pattern, _NEVER))

    def reaches(self, usage: Usage | None, now: float) -> bool:
        if now < self._all:
            return True
        if usage is None:
            return False
        return now < self._ids.get(usage.id, _NEVER) or any(
            now < until and matches(pattern, usage.type, usage.id)
            for length in self._lengths
            for pattern, until in self._patterns.get(usage.id[:length], _NO_PATTERNS).items()
        )


class _Reach:
    """All that one principal reaches with one permission."""

    __slots__ = ("_everything", "_secrets", "_something", "_usages")

    def __init__(self) -> None:
        self._something = _NEVER
        self._everything = _NEVER
        self._secrets: dict[UUID, float] = {}
        self._usages: dict[UsageType, _Usages] = {}

    def add(self, scopes: Iterable[Scope], until: float) -> None:
        self._something = max(until, self._something)
        for scope in scopes:
            match scope:
                case EverySecret():
                    self._everything = max(until, self._everything)
                case ThatSecret():
                    self._secrets[scope.id] = max(until, self._secrets.get(scope.id, _NEVER))
                case UsageLike():
                    self._usages.setdefault(scope.type, _Usages()).add(scope.pattern, until)

    def reaches(self, target: Target | Everything | None, now: float) -> bool:
        if now < self._everything:
            return True
        if target is None:
            return now < self._something
        if target is EVERYTHING or now >= self._something:
            return False
        if self._secrets and now < self._secrets.get(target.secret, _NEVER):
            return True
        usage = target.attributes.usage
        usages = self._usages.get(usage.type if usage else UsageType.NONE)
        return usages is not None and usages.reaches(usage, now)


# Who reaches it.


class _Party:
    """What one principal reaches: whatever its processes run, and by what they run."""

    __slots__ = ("_freely", "_narrowly", "_running")

    def __init__(self) -> None:
        self._freely = _Reach()
        self._narrowly: _Reach | None = None
        self._running: dict[str, dict[str | None, _Reach]] = {}

    def add(self, executable: ExecutableIs | None, scopes: Iterable[Scope], until: float) -> None:
        if executable is None:
            self._freely.add(scopes, until)
            return
        self._narrowly = self._narrowly or _Reach()
        self._narrowly.add(scopes, until)
        # Whatever its content comes first: a file is not read if a grant does not turn on it.
        by_content = self._running.setdefault(executable.path, {None: _Reach()})
        by_content.setdefault(executable.sha256, _Reach()).add(scopes, until)

    def reaches(self, target: Target | Everything | None, now: float) -> bool:
        return self._freely.reaches(target, now)

    def reaches_running(self, process: Process, target: Target | Everything | None, now: float) -> bool:
        if self._narrowly is None or not self._narrowly.reaches(target, now):
            return False
        executable = process.executable()
        if executable is None or not executable.trusted:
            return False
        return any(
            reach.reaches(target, now) and (sha256 is None or sha256 == process.sha256())
            for sha256, reach in self._running.get(executable.path, {}).items()
        )


class _Parties:
    """All principals that hold one permission for something."""

    def __init__(self) -> None:
        self._anyone: dict[int | str | None, _Party] = {}
        self._users: dict[int | str | None, _Party] = {}
        self._groups: dict[int | str | None, _Party] = {}
        self._units: dict[int | str | None, _Party] = {}
        self._by_kind = {
            PrincipalKind.ANYONE: self._anyone,
            PrincipalKind.USER: self._users,
            PrincipalKind.GROUP: self._groups,
            PrincipalKind.UNIT: self._units,
        }

    @classmethod
    def of(cls, grant: Grant) -> _Parties:
        made = cls()
        made.add(grant)
        return made

    def add(self, grant: Grant) -> None:
        principal = grant.principal
        until = _FOR_EVER if grant.expires is None else grant.expires.timestamp()
        key = principal.unit if principal.kind is PrincipalKind.UNIT else principal.number
        party = self._by_kind[principal.kind].setdefault(key, _Party())
        party.add(principal.executable, grant.scopes, until)

    def reach(self, caller: Caller, target: Target | Everything | None, now: float) -> bool:
        parties = self._known_by_ids(caller)
        if any(party.reaches(target, now) for party in parties):
            return True
        process = caller.process
        if process is None:
            return False
        unit = process.unit() if self._units else None
        if unit is not None and unit.name in self._units:
            party = self._units[unit.name]
            if party.reaches(target, now):
                return True
            parties.append(party)
        return any(party.reaches_running(process, target, now) for party in parties)

    def _known_by_ids(self, caller: Caller) -> list[_Party]:
        found = [self._anyone.get(None), self._users.get(caller.uid)]
        if self._groups:
            found += map(self._groups.get, (caller.gid, *caller.groups))
        return [party for party in found if party is not None]


class Rules:
    """Grants, ready to be asked; these never change, a change of grants makes others.

    Args:
        grants: in any order: they add up.
    """

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self.grants = tuple(grants)
        self._parties = {permission: _Parties() for permission in Permission}
        for grant in self.grants:
            for permission in all_of(grant.permissions):
                self._parties[permission].add(grant)

    def allows(self, caller: Caller, permission: Permission, target: Target | Everything | None, now: float) -> bool:
        """Whether grants allow it, of themselves: what a kind of connection forbids is not looked at.

        Args:
            caller, permission: who, and what.
            target: for which secret; EVERYTHING is for all, None for anything at all.
            now: seconds since 1970, in UTC.
        """
        return self._parties[permission].reach(caller, target, now)

    def granting(
        self, caller: Caller, permission: Permission, target: Target | Everything | None, now: float
    ) -> Iterator[Grant]:
        """Name the grants that allow it, each of itself; slower than ``allows``, and of one mind with it."""
        for grant, parties in self._each:
            if permission in all_of(grant.permissions) and parties.reach(caller, target, now):
                yield grant

    @cached_property
    def _each(self) -> tuple[tuple[Grant, _Parties], ...]:
        """Give each grant with whom it is for, as if there were no other; made when somebody first asks by which."""
        return tuple((grant, _Parties.of(grant)) for grant in self.grants)


def all_of(permissions: frozenset[Permission]) -> frozenset[Permission]:
    """Give the permissions that these come to: who may write may append too."""
    return permissions | {Permission.APPEND} if Permission.WRITE in permissions else permissions
