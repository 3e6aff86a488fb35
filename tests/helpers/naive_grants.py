"""What grants mean, written a second time, plainly, from docs/access.md: core/matching.py is judged by it.

Nothing is made ready beforehand: every question looks at every grant, and a pattern is taken apart star by star.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

from secretd.core.access import EVERYTHING, AnyTarget, Everything, KeyTarget, Target
from secretd.grants import (
    EveryKey,
    EverySecret,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    SecretScope,
    ThatKey,
    ThatSecret,
)
from secretd.model import Caller, Permission, UsageType


def naive_matches(pattern: str, usage_type: UsageType, usage_id: str) -> bool:
    """Whether a pattern matches the id of a usage."""
    if "*" not in pattern:
        return pattern == usage_id
    return (usage_type is not UsageType.VOLUME or _is_spelt_as_a_path(usage_id)) and _matches(pattern, usage_id)


def _is_spelt_as_a_path(text: str) -> bool:
    before, *parts = text.split("/")
    return before == "" and len(parts) > 0 and not {"", ".", ".."} & set(parts)


@cache
def _matches(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return _matches(pattern[2:], text) or (text != "" and _matches(pattern, text[1:]))
    if pattern.startswith("*"):
        return _matches(pattern[1:], text) or (text != "" and text[0] != "/" and _matches(pattern, text[1:]))
    return text[:1] == pattern[0] and _matches(pattern[1:], text[1:])


def naive_allows(
    grants: Iterable[Grant], caller: Caller, permission: Permission, target: AnyTarget, now: float
) -> bool:
    """Whether one of the grants allows it."""
    return any(_allows(grant, caller, permission, target, now) for grant in grants)


_MORE = {Permission.APPEND: [Permission.WRITE], Permission.GENERATE_WRAPPED: [Permission.GENERATE]}
"""What gives a permission too, beside itself."""


def _allows(grant: Grant, caller: Caller, permission: Permission, target: AnyTarget, now: float) -> bool:
    if grant.expires is not None and grant.expires <= datetime.fromtimestamp(now, UTC):
        return False
    wanted = {permission, *_MORE.get(permission, ())}
    if not wanted & grant.permissions:
        return False
    if not _is(grant.principal, caller):
        return False
    return target is None or any(_holds(scope, target) for scope in grant.scopes)


def _is(principal: Principal, caller: Caller) -> bool:
    unit = caller.process.unit() if caller.process else None
    is_named = {
        PrincipalKind.ANYONE: True,
        PrincipalKind.USER: caller.uid == principal.number,
        PrincipalKind.GROUP: principal.number in (caller.gid, *caller.groups),
        PrincipalKind.UNIT: unit is not None and unit.name == principal.unit,
    }[principal.kind]
    return is_named and _runs(principal, caller)


def _runs(principal: Principal, caller: Caller) -> bool:
    if principal.executable is None:
        return True
    process = caller.process
    executable = process.executable() if process else None
    if process is None or executable is None or not executable.trusted:
        return False
    wanted = principal.executable
    return executable.path == wanted.path and wanted.sha256 in (None, process.sha256())


def _holds(scope: Scope, target: Target | KeyTarget | Everything) -> bool:
    if isinstance(scope, KeyScope):
        return isinstance(target, KeyTarget) and _holds_key(scope, target)
    return not isinstance(target, KeyTarget) and _holds_secret(scope, target)


def _holds_secret(scope: SecretScope, target: Target | Everything) -> bool:
    if isinstance(scope, EverySecret):
        return True
    if target is EVERYTHING:
        return False
    if isinstance(scope, ThatSecret):
        return target.secret == scope.id
    usage = target.attributes.usage
    if usage is None:
        return scope.type is UsageType.NONE
    if usage.type is not scope.type:
        return False
    return scope.pattern is None or naive_matches(scope.pattern, usage.type, usage.id)


def _holds_key(scope: KeyScope, target: KeyTarget) -> bool:
    match scope:
        case EveryKey():
            return True
        case ThatKey():
            return target.id == scope.id
        case KeyLike():
            return target.id is not None and _matches(scope.pattern, target.id)
        case KeyTagged():
            return scope.tag in target.tags
