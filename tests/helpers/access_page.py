"""docs/access.md as a judge: what each operation needs, and what follows from it for a caller, a grant and a secret.

The table of permissions is read from the page, so that the two cannot part; the order in which a request is judged is
written down here a second time, plainly, from "How a request is judged".  Nothing of core/ judges anything here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final
from uuid import UUID

from helpers.naive_grants import naive_allows
from helpers.tree import ROOT
from secretd import operations as ops
from secretd.core.access import KeyTarget, Target
from secretd.grants import Grant
from secretd.lifecycle import NOTHING_BEFELL, Lifecycle, ReferenceKind
from secretd.lifecyclerequests import (
    SecretArchive,
    SecretAttach,
    SecretCancelDeletion,
    SecretDetach,
    SecretGetLifecycle,
    SecretProtect,
    SecretRestore,
    SecretScheduleDeletion,
    SecretUnprotect,
)
from secretd.model import Attributes, Caller, Permission, Usage
from secretd.requests import Reply, Request

PAGE: Final = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")

ALLOWED: Final = "allowed"
"""An outcome; every other is the code of an error."""

AnyRequest = Request[Reply]

_NOW = 1_800_000_000.0
_NEW = UUID(int=0xA110CA7E << 96)
"""Stands for an id that nobody has and no grant names."""


# The page.


def table(heading: str) -> list[tuple[str, str]]:
    """Give the first two columns of the table below a line of docs/access.md."""
    _, _, rest = PAGE.partition(heading)
    lines = rest.partition("\n\n| ")[2].partition("\n\n")[0].splitlines()[2:]
    return [(first, second) for first, second, *_ in (re.findall(r"[^|]+", line) for line in lines)]


def words(cell: str) -> list[str]:
    """Give what stands between backticks."""
    return re.findall(r"`([a-z*-]+)`", cell)


def named(cell: str) -> frozenset[Permission]:
    """Give the permissions that a text names."""
    return frozenset(map(Permission, words(cell)))


class When(Enum):
    """What a row of the table is about, in the page's words, where it is not about every secret."""

    NEW = "of an id that is new"
    THERE = "of a secret that is there"
    WITHOUT_VALUE = "of a secret without a value"
    WITH_VALUE = "of a secret with a value"
    CLEAR = "with the clear half"
    WRAPPED = "without the clear half"


@dataclass(frozen=True, slots=True)
class Need:
    """What a row of the table asks for.

    Attributes:
        permission: the first that it names; None for any at all.
        saves: whether save has to stand beside it for what is not ephemeral.
    """

    permission: Permission | None
    saves: bool


def _rows() -> Iterator[tuple[str, When | None, Need]]:
    for operations, permissions in table("## What each operation needs"):
        when = next((each for each in When if each.value in operations), None)
        first = words(permissions)[:1]
        need = Need(Permission(first[0]) if first else None, "`save` unless" in permissions)
        for pattern in words(operations):
            for name in ops.BY_NAME if "*" in pattern else [pattern]:
                if fnmatchcase(name, pattern):
                    yield name, when, need


def _needs() -> dict[str, dict[When | None, Need]]:
    needs: dict[str, dict[When | None, Need]] = {}
    for name, when, need in _rows():
        needs.setdefault(name, {})[when] = need
    return needs


NEEDS: Final = _needs()
"""By the operation's name, and what is the case."""

_READ_ONLY = named(PAGE.partition("A connection by a `-ro` socket has of all this at most ")[2].partition("\n")[0])


# Who asks, and what there is.


@dataclass(frozen=True, slots=True)
class There:
    """A secret that is there."""

    attributes: Attributes
    has_value: bool
    lifecycle: Lifecycle = NOTHING_BEFELL


Secrets = Mapping[UUID, There]


@dataclass(frozen=True, slots=True)
class Holder:
    """A caller, and the one grant there is.

    Args:
        at_libvirts_door: where he asks.
    """

    caller: Caller
    grant: Grant
    at_libvirts_door: bool

    def granted(self, permission: Permission, target: Target | KeyTarget | None) -> bool:
        """Whether the grant gives a permission: for a secret, or with None for something."""
        return naive_allows([self.grant], self.caller, permission, target, _NOW)

    def holds(self, permission: Permission | None, target: Target | KeyTarget | None = None) -> bool:
        """Whether he holds a permission on this connection; with None any at all."""
        if permission is None:
            return any(self.holds(one) for one in Permission)
        return (not self.caller.read_only or permission in _READ_ONLY) and self.granted(permission, target)

    def sees(self, secret: UUID, secrets: Secrets) -> bool:
        """Whether a secret is there for him."""
        return secret in secrets and self.holds(Permission.GETATTR, Target(secret, secrets[secret].attributes))

    def seen(self, secrets: Secrets) -> frozenset[UUID]:
        """Give all that are there for him."""
        return frozenset(secret for secret in secrets if self.sees(secret, secrets))


# How a request is judged.


def outcome(holder: Holder, request: AnyRequest, secrets: Secrets) -> str:
    """Say what becomes of a request: ALLOWED, or the code of the error."""
    name = ops.BY_REQUEST[type(request)].name
    return _before_anything(holder, name) or _JUDGES.get(name, _allowed)(holder, request, secrets)


def _before_anything(holder: Holder, name: str) -> str | None:
    """Judge the first step: he holds a permission for the operation, in whatever case, for something."""
    permissions = {need.permission for need in NEEDS[name].values()}
    if holder.caller.read_only and not permissions & {*_READ_ONLY, None}:
        # At libvirt's door that comes before all else (docs/libvirt.md); here it is for who could do it elsewhere.
        elsewhere = any(one is not None and holder.granted(one, None) for one in permissions)
        return "read-only" if holder.at_libvirts_door or (elsewhere and holder.holds(None)) else "access-denied"
    return None if any(map(holder.holds, permissions)) else "access-denied"


def _allowed(_: Holder, __: AnyRequest, ___: Secrets) -> str:
    return ALLOWED


def _read(holder: Holder, request: Any, secrets: Secrets) -> str:
    if not holder.sees(request.secret, secrets):
        return "no-secret"
    secret = secrets[request.secret]
    (need,) = NEEDS[ops.BY_REQUEST[type(request)].name].values()
    if not holder.holds(need.permission, Target(request.secret, secret.attributes)):
        return "access-denied"
    if _has_stale_digest(request):
        return "digest-mismatch"
    if stopped := _stopped(request, secret.lifecycle):
        return stopped
    return _reveal(secret) if isinstance(request, ops.GetValue) else ALLOWED


def _reveal(secret: There) -> str:
    if secret.attributes.private:
        return "private"
    return ALLOWED if secret.has_value else "no-value"


def _stopped(request: AnyRequest, befell: Lifecycle) -> str | None:  # noqa: PLR0911  # a sentence of the page each
    """Say what befell a secret stops a request. Source: docs/keys.md, "References" and "Secrets have the same"."""
    state = befell.out_of_use.value if befell.out_of_use else "in use"
    if state not in _STATES_FOR.get(type(request), ("in use",)):
        return "wrong-state"
    match request:
        case SecretAttach(kind=ReferenceKind.ACTIVE) if state == "archived":
            return "wrong-state"
        case SecretArchive() if any(one.kind is ReferenceKind.ACTIVE for one in befell.references):
            return "referenced"
        case SecretDetach(consumer=name) if name not in {one.consumer for one in befell.references}:
            return "invalid-request"
        case ops.Delete() | SecretScheduleDeletion() if befell.references:
            return "referenced"
        case ops.Delete() | SecretScheduleDeletion() if befell.protected:
            return "operation-invalid"
    return None


_BUT_PENDING = ("in use", "archived")
_STATES_FOR: dict[type[AnyRequest], tuple[str, ...]] = {
    **dict.fromkeys((ops.GetXml, ops.LookupById, SecretGetLifecycle), (*_BUT_PENDING, "pending-deletion")),
    **dict.fromkeys((ops.GetValue, ops.Delete, SecretScheduleDeletion), _BUT_PENDING),
    **dict.fromkeys((SecretAttach, SecretDetach, SecretProtect, SecretUnprotect), _BUT_PENDING),
    SecretRestore: ("archived",),
    SecretCancelDeletion: ("pending-deletion",),
}
"""In which states each request may be made; every other only of a secret that is in use."""


def _look_up(holder: Holder, request: Any, secrets: Secrets) -> str:
    return ALLOWED if _with_usage(request.usage, secrets) & holder.seen(secrets) else "no-secret"


def _has_stale_digest(request: Any) -> bool:
    """Whether a digest is given: here that is never the secret's."""
    return getattr(request, "digest", None) is not None


def _with_usage(usage: Usage | None, secrets: Secrets) -> set[UUID]:
    return {secret for secret, there in secrets.items() if usage is not None and there.attributes.usage == usage}


def _allocate(holder: Holder, request: Any, secrets: Secrets) -> str:
    return _make(holder, request, _NEW, Attributes(ephemeral=request.ephemeral), secrets)


def _describe(holder: Holder, request: Any, secrets: Secrets) -> str:
    secret = request.document.id or (request.secret if isinstance(request, ops.SetXml) else _NEW)
    wanted = request.document.attributes
    before = secrets.get(secret)
    if before is None:
        return _make(holder, request, secret, wanted, secrets)
    if not holder.sees(secret, secrets):
        return _make_hidden(holder, request, secret, wanted, secrets)
    judged = _change(holder, request, When.THERE, secret, before, wanted)
    return "conflict" if judged == ALLOWED and _with_usage(wanted.usage, secrets) - {secret} else judged


def _give_value(holder: Holder, request: Any, secrets: Secrets) -> str:
    secret, before = request.secret, secrets.get(request.secret)
    wanted = Attributes(ephemeral=isinstance(request, ops.SetValue) and request.ephemeral)
    if before is None:
        return _make(holder, request, secret, wanted, secrets)
    when = When.WITH_VALUE if before.has_value else When.WITHOUT_VALUE
    permission = _need(request, when).permission
    may_append = permission is Permission.APPEND and holder.holds(permission, Target(secret, before.attributes))
    against_it = _has_stale_digest(request) or _stopped(request, before.lifecycle)
    if not holder.sees(secret, secrets) and (not may_append or against_it):
        return _make_hidden(holder, request, secret, wanted, secrets)
    return _change(holder, request, when, secret, before, before.attributes)


def _need(request: AnyRequest, when: When) -> Need:
    return NEEDS[ops.BY_REQUEST[type(request)].name][when]


def _change(holder: Holder, request: Any, when: When, secret: UUID, before: There, wanted: Attributes) -> str:
    """Judge a change, on the secret as it is and as it would be."""
    need, as_it_is = _need(request, when), Target(secret, before.attributes)
    as_it_would_be = _as_it_would_be(secret, before.attributes, wanted)
    if not holder.holds(need.permission, as_it_is):
        return "access-denied"
    if _has_stale_digest(request):
        return "digest-mismatch"
    if stopped := _stopped(request, before.lifecycle):
        return stopped
    may = holder.holds(need.permission, as_it_would_be)
    if need.saves and not wanted.ephemeral:
        may = may and holder.holds(Permission.SAVE, as_it_would_be)
    if before.has_value and wanted.usage != before.attributes.usage:
        may = may and holder.holds(Permission.READ_SECURE, as_it_is)
    return ALLOWED if may else "access-denied"


def _as_it_would_be(secret: UUID, before: Attributes, wanted: Attributes) -> Target:
    """Give what a change leads to; with a usage that is new to the secret, scopes of its id do not count."""
    return Target(secret if wanted.usage in (None, before.usage) else _NEW, wanted)


def _make(holder: Holder, request: Any, secret: UUID, wanted: Attributes, secrets: Secrets) -> str:
    """Judge what makes a secret, if it makes one."""
    if (
        _has_stale_digest(request)
        or isinstance(request, ops.GenerateValue)
        or (isinstance(request, ops.SetValue) and not request.create)
    ):
        return "no-secret"
    need, target = _need(request, When.NEW), _as_it_would_be(secret, Attributes(), wanted)
    if not holder.holds(need.permission, target):
        return "access-denied"
    if need.saves and not wanted.ephemeral and not holder.holds(Permission.SAVE, target):
        return "access-denied"
    return "conflict" if _with_usage(wanted.usage, secrets) else ALLOWED


def _make_hidden(holder: Holder, request: Any, secret: UUID, wanted: Attributes, secrets: Secrets) -> str:
    """Judge what is about a secret that is there, and not for him: as if it were not, but that none can be made."""
    judged = _make(holder, request, secret, wanted, secrets)
    return "conflict" if judged == ALLOWED else judged


_JUDGES = {
    "allocate-id": _allocate,
    "set-xml": _describe,
    "define": _describe,
    "set-value": _give_value,
    "generate-value": _give_value,
    "get-xml": _read,
    "get-value": _read,
    "delete": _read,
    **{
        operation.name: _read
        for operation in ops.OPERATIONS
        if operation.request.__module__ == SecretArchive.__module__
    },
    "lookup-by-id": _read,
    "lookup-by-usage": _look_up,
}
"""The second step, of what is about one secret; nothing else has one."""


# What is told of a change.


def told(holder: Holder, event: str, before: Target | None, after: Target | None) -> str | None:
    """Say what a subscriber is told of a change, which is this event to who sees the secret before and after it.

    Source: docs/protocol.md, "Events".
    """
    if not holder.holds(NEEDS["subscribe"][None].permission):
        return None
    seen = [target is not None and holder.holds(Permission.GETATTR, target) for target in (before, after)]
    return {(True, True): event, (False, True): "defined", (True, False): "deleted"}.get((seen[0], seen[1]))
