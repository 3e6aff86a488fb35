"""What grants mean for a caller and a secret or a key: grants made ready to be asked often.

Pure: no clock, no store, no system.  Grants add up, so each permission of each principal is kept as the moment until
which it lasts, at the place where a target leads to it: for every secret, by id, by usage; for every key, by id, by
tag.  What a question costs does not grow with the number of grants, but for patterns that begin and end alike.

What is made ready is made when it is first asked for, and kept: of a principal until his grants change, of a caller
until any do.  So a change costs as much as what it changes, and to be in many groups costs a caller's first question.

What the kernel and systemd know of a caller's process is asked for only if a grant could turn on it, and last.

The rules it keeps: a secret's usage is compared character by character; the id of a volume that is not spelt as paths
are is reached by no pattern with a star.

Source: docs/access.md, "Who is asking", "Grants" and "Scopes and patterns".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from operator import is_
from typing import Final
from uuid import UUID

from secretd.core.access import EVERYTHING, AnyTarget, KeyTarget, Target
from secretd.core.patterns import Pattern, has_stars, pattern_of
from secretd.grants import (
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
    is_plain,
    patterns_in,
)
from secretd.keys import Tag
from secretd.model import Caller, Permission, Process, Usage, UsageType

_NEVER: Final = -math.inf
_FOR_EVER: Final = math.inf
_NO_PATTERNS: Final[dict[Pattern, float]] = {}
_COMES_WITH: Final = {Permission.WRITE: Permission.APPEND, Permission.GENERATE: Permission.GENERATE_WRAPPED}


# What is reached, until when.


class _Ids:
    """Those of one kind that are reached: all, by the id itself, or by a pattern.

    Patterns are kept by what stands before their first star and behind their last, so that most of them need no look.
    """

    __slots__ = ("_all", "_ids", "_lengths", "_patterns")

    def __init__(self) -> None:
        self._all = _NEVER
        self._ids: dict[str, float] = {}
        self._patterns: dict[tuple[str, str], dict[Pattern, float]] = {}
        self._lengths: set[tuple[int, int]] = set()

    def add(self, pattern: str | None, until: float) -> None:
        if pattern is None:
            self._all = max(until, self._all)
        elif not has_stars(pattern):
            self._ids[pattern] = max(until, self._ids.get(pattern, _NEVER))
        else:
            made = pattern_of(pattern)
            kept = self._patterns.setdefault((made.prefix, made.suffix), {})
            kept[made] = max(until, kept.get(made, _NEVER))
            self._lengths.add((len(made.prefix), len(made.suffix)))

    def _matches(self, its_id: str, now: float) -> bool:
        length = len(its_id)
        for prefix, suffix in self._lengths:
            ends = its_id[:prefix], its_id[length - suffix :]
            for pattern, until in self._patterns.get(ends, _NO_PATTERNS).items():
                if now < until and pattern.matches(its_id):
                    return True
        return False


class _Usages(_Ids):
    """The secrets with a usage of one type that are reached."""

    __slots__ = ()

    def reaches(self, usage: Usage | None, now: float) -> bool:
        if now < self._all:
            return True
        if usage is None:
            return False
        if now < self._ids.get(usage.id, _NEVER):
            return True
        return self._matches(usage.id, now) and is_plain(usage.type, usage.id)


class _Keys(_Ids):
    """The keys that are reached, by a tag too."""

    __slots__ = ("_tags",)

    def __init__(self) -> None:
        super().__init__()
        self._tags: dict[Tag, float] = {}

    def add_tag(self, tag: Tag, until: float) -> None:
        self._tags[tag] = max(until, self._tags.get(tag, _NEVER))

    def reaches(self, target: KeyTarget, now: float) -> bool:
        if now < self._all:
            return True
        if self._tags and any(now < self._tags.get(tag, _NEVER) for tag in target.tags):
            return True
        its_id = target.id
        return its_id is not None and (now < self._ids.get(its_id, _NEVER) or self._matches(its_id, now))


class _Reach:
    """All that one principal reaches with one permission."""

    __slots__ = ("_everything", "_keys", "_secrets", "_something", "_usages")

    def __init__(self) -> None:
        self._something = _NEVER
        self._everything = _NEVER
        self._secrets: dict[UUID | None, float] = {}
        self._usages: dict[UsageType, _Usages] = {}
        self._keys: _Keys | None = None

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
                case EveryKey() | ThatKey() | KeyLike() | KeyTagged():
                    self._add_keys(scope, until)

    def _add_keys(self, scope: KeyScope, until: float) -> None:
        self._keys = self._keys or _Keys()
        match scope:
            case EveryKey():
                self._keys.add(None, until)
            case ThatKey():
                self._keys.add(scope.id, until)
            case KeyLike():
                self._keys.add(scope.pattern, until)
            case KeyTagged():
                self._keys.add_tag(scope.tag, until)

    def reaches(self, target: AnyTarget, now: float) -> bool:
        if type(target) is Target:
            return now < self._everything or self._reaches_secret(target, now)
        if target is None:
            return now < self._something
        if target is EVERYTHING:
            return now < self._everything
        return self._keys is not None and self._keys.reaches(target, now)

    def _reaches_secret(self, target: Target, now: float) -> bool:
        if self._secrets and now < self._secrets.get(target.secret, _NEVER):
            return True
        usage = target.attributes.usage
        usages = self._usages.get(usage.type if usage else UsageType.NONE)
        return usages is not None and usages.reaches(usage, now)


# Who reaches it.


class _Holding:
    """What one principal reaches with one permission: whatever its processes run, and by what they run."""

    __slots__ = ("_freely", "_narrowly", "_running")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._freely = _Reach()
        self._narrowly: _Reach | None = None
        self._running: dict[str, dict[str | None, _Reach]] = {}
        for grant in grants:
            self._add(grant.principal.executable, grant.scopes, _end_of(grant))

    def _add(self, executable: ExecutableIs | None, scopes: Iterable[Scope], until: float) -> None:
        if executable is None:
            self._freely.add(scopes, until)
            return
        self._narrowly = self._narrowly or _Reach()
        self._narrowly.add(scopes, until)
        # Whatever its content comes first: a file is not read if a grant does not turn on it.
        by_content = self._running.setdefault(executable.path, {None: _Reach()})
        by_content.setdefault(executable.sha256, _Reach()).add(scopes, until)

    def reaches(self, target: AnyTarget, now: float) -> bool:
        return self._freely.reaches(target, now)

    def reaches_running(self, process: Process, target: AnyTarget, now: float) -> bool:
        if self._narrowly is None or not self._narrowly.reaches(target, now):
            return False
        executable = process.executable()
        if executable is None or not executable.trusted:
            return False
        return any(
            reach.reaches(target, now) and (sha256 is None or sha256 == process.sha256())
            for sha256, reach in self._running.get(executable.path, {}).items()
        )


def _may_run(executable: ExecutableIs | None, process: Process | None) -> bool:
    """Whether a process runs what a principal has to run; the content of its file is looked at last."""
    if executable is None:
        return True
    if process is None:
        return False
    running = process.executable()
    if running is None or not running.trusted or running.path != executable.path:
        return False
    return executable.sha256 is None or executable.sha256 == process.sha256()


class _Party:
    """One principal: all grants for it, and what it holds by them.

    Attributes:
        grants: in the order of all grants.
    """

    def __init__(self, grants: tuple[Grant, ...]) -> None:
        self.grants = grants
        self._holdings: dict[Permission, _Holding | None] = {}
        self._made: dict[tuple[int, ...], _Holding] = {}
        self._reaches: dict[int, _Reach] = {}
        # What is made of a pattern goes with the last who has it: so it outlasts a change of the other grants.
        self._patterns = [pattern_of(pattern) for grant in grants for pattern in _starred(grant.scopes)]

    def is_of(self, grants: tuple[Grant, ...]) -> bool:
        """Whether these very grants are for it."""
        return len(grants) == len(self.grants) and all(map(is_, grants, self.grants))

    def holding(self, permission: Permission) -> _Holding | None:
        """Give what it holds with a permission; None if it never holds that."""
        if permission not in self._holdings:
            giving = tuple(grant for grant in self.grants if permission in all_of(grant.permissions))
            self._holdings[permission] = self._holding_by(giving) if giving else None
        return self._holdings[permission]

    def _holding_by(self, giving: tuple[Grant, ...]) -> _Holding:
        # Most grants give several permissions, which then are held alike: that is made ready once.
        its = tuple(map(id, giving))
        if its not in self._made:
            self._made[its] = _Holding(giving)
        return self._made[its]

    def reaches_by(self, grant: Grant, process: Process | None, target: AnyTarget, now: float) -> bool:
        """Whether by one of its grants, as if there were no other, a process of its reaches a target."""
        return (
            now < _end_of(grant)
            # Every grant reaches something: nothing has to be made ready to say that.
            and (target is None or self._reach_of(grant).reaches(target, now))
            and _may_run(grant.principal.executable, process)
        )

    def _reach_of(self, grant: Grant) -> _Reach:
        reach = self._reaches.get(id(grant))
        if reach is None:
            reach = self._reaches[id(grant)] = _Reach()
            reach.add(grant.scopes, _end_of(grant))
        return reach


class _Standing:
    """Who a caller is to some rules: what is known by his ids, and so as long as the rules and the caller last."""

    __slots__ = ("_holdings", "parties", "rules")

    def __init__(self, rules: Rules, parties: tuple[_Party, ...]) -> None:
        self.rules = rules
        self.parties = parties
        self._holdings: dict[Permission, tuple[_Holding, ...]] = {}

    def holdings(self, permission: Permission) -> tuple[_Holding, ...]:
        found = self._holdings.get(permission)
        if found is None:
            held = (party.holding(permission) for party in self.parties)
            found = self._holdings[permission] = tuple(one for one in held if one is not None)
        return found


_Key = int | str | None
_Parties = dict[_Key, _Party]


class Rules:
    """Grants, ready to be asked; these never change, a change of grants makes others.

    Args:
        grants: in any order: they add up.
        before: of which is taken over what was made ready for principals whose grants are the same.
    """

    def __init__(self, grants: Iterable[Grant] = (), before: Rules | None = None) -> None:
        self.grants = tuple(grants)
        self._parties: dict[PrincipalKind, _Parties] = {kind: {} for kind in PrincipalKind}
        for (kind, key), its in _by_principal(self.grants).items():
            known = before._parties[kind].get(key) if before else None
            self._parties[kind][key] = known if known is not None and known.is_of(its) else _Party(its)
        self._units_holding: dict[Permission, Mapping[_Key, _Holding]] = {}

    def allows(self, caller: Caller, permission: Permission, target: AnyTarget, now: float) -> bool:
        """Whether grants allow it, of themselves: what a kind of connection forbids is not looked at.

        Args:
            caller, permission: who, and what.
            target: for which secret or key; EVERYTHING is for all secrets, None for anything at all.
            now: seconds since 1970, in UTC.
        """
        standing = caller.standing
        # Without a call where he is known: this is asked at every request, and of every secret of a list.
        if type(standing) is not _Standing or standing.rules is not self:
            standing = self._standing(caller)
        holdings = standing.holdings(permission)
        for holding in holdings:
            if holding.reaches(target, now):
                return True
        process = caller.process
        if process is None:
            return False
        of_unit = self._holding_of_unit(process, permission)
        if of_unit is not None:
            if of_unit.reaches(target, now):
                return True
            holdings = (*holdings, of_unit)
        return any(holding.reaches_running(process, target, now) for holding in holdings)

    def granting(self, caller: Caller, permission: Permission, target: AnyTarget, now: float) -> Iterator[Grant]:
        """Name the grants that allow it, each of itself; slower than ``allows``, and of one mind with it.

        Each is looked at when it is asked for: who wants only the first of many does not pay for all.
        """
        its = {id(grant): party for party in self._parties_of(caller) for grant in party.grants}
        return (
            grant
            for grant in self.grants
            if id(grant) in its
            and permission in all_of(grant.permissions)
            and its[id(grant)].reaches_by(grant, caller.process, target, now)
        )

    def _standing(self, caller: Caller) -> _Standing:
        standing = caller.standing
        if not isinstance(standing, _Standing) or standing.rules is not self:
            standing = _Standing(self, tuple(self._known_by_ids(caller)))
            # Frozen in what he is, which this is no part of.
            object.__setattr__(caller, "standing", standing)
        return standing

    def _known_by_ids(self, caller: Caller) -> Iterator[_Party]:
        groups = self._parties[PrincipalKind.GROUP]
        yield from self._parties[PrincipalKind.ANYONE].values()
        if caller.uid in self._parties[PrincipalKind.USER]:
            yield self._parties[PrincipalKind.USER][caller.uid]
        if groups:
            # One step of C, as he may be in 65,536.
            yield from map(groups.__getitem__, groups.keys() & (caller.gid, *caller.groups))

    def _holding_of_unit(self, process: Process, permission: Permission) -> _Holding | None:
        """Give what the unit of a process holds; the process is asked for it only if any unit holds something."""
        holding = self._units_holding.get(permission)
        if holding is None:
            held = ((key, party.holding(permission)) for key, party in self._parties[PrincipalKind.UNIT].items())
            holding = self._units_holding[permission] = {key: one for key, one in held if one is not None}
        unit = process.unit() if holding else None
        return holding.get(unit.name) if unit is not None else None

    def _parties_of(self, caller: Caller) -> Iterator[_Party]:
        yield from self._standing(caller).parties
        units = self._parties[PrincipalKind.UNIT]
        unit = caller.process.unit() if units and caller.process is not None else None
        if unit is not None and unit.name in units:
            yield units[unit.name]


def all_of(permissions: frozenset[Permission]) -> frozenset[Permission]:
    """Give the permissions that these come to: who may write may append too, and who may generate, wrapped."""
    return permissions.union(less for more, less in _COMES_WITH.items() if more in permissions)


def _starred(scopes: Iterable[Scope]) -> Iterator[str]:
    return filter(has_stars, patterns_in(scopes))


def _end_of(grant: Grant) -> float:
    return _FOR_EVER if grant.expires is None else grant.expires.timestamp()


def _by_principal(grants: Iterable[Grant]) -> dict[tuple[PrincipalKind, _Key], tuple[Grant, ...]]:
    """Sort grants by whom they are for, whatever that one has to run."""
    found: dict[tuple[PrincipalKind, _Key], list[Grant]] = {}
    for grant in grants:
        found.setdefault((grant.principal.kind, _key_of(grant.principal)), []).append(grant)
    return {principal: tuple(its) for principal, its in found.items()}


def _key_of(principal: Principal) -> _Key:
    return principal.unit if principal.kind is PrincipalKind.UNIT else principal.number
