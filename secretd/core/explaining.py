"""Explaining: what would come of a request of somebody's, by which grants, or what would have to be granted.

The caller is made up, and judged by the policy and the handlers that judge all: see core/trial.py and core/needs.py.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from secretd import operations as ops
from secretd.core.access import Access
from secretd.core.grantstore import Grants
from secretd.core.needs import Asked, Case
from secretd.core.proposing import Lack, principal_of, proposed
from secretd.core.sources import Source, Sources
from secretd.core.state import SecretState
from secretd.core.trial import Trial
from secretd.errors import InvalidRequestError, NotFoundError, UnknownOperationError
from secretd.grantrequests import Explain, Explained, Need, NeededOn
from secretd.grants import Grant
from secretd.model import (
    Attributes,
    Caller,
    Executable,
    Mode,
    Permission,
    Process,
    SecretDocument,
    SecretValue,
    Unit,
    Usage,
)

_NOBODY: Final = 2**32 - 1
"""A user and a group that nobody is, and no grant can name. Source: chown(2)."""

_ANY_VALUE: Final = SecretValue(b"any")


# Who asks.


class _Described(Process):
    """A process as a request describes it."""

    def __init__(self, request: Explain) -> None:
        self._request = request

    def unit(self) -> Unit | None:
        return Unit(self._request.unit) if self._request.unit is not None else None

    def executable(self) -> Executable | None:
        path = self._request.executable
        return Executable(path, trusted=True) if path is not None else None

    def sha256(self) -> str | None:
        return self._request.sha256


def _caller(request: Explain) -> Caller:
    if request.uid is None and request.gid is None and not request.groups and request.unit is None:
        raise InvalidRequestError("say who asks: a user, a group or a unit")
    return Caller(
        _NOBODY if request.uid is None else request.uid,
        _NOBODY if request.gid is None else request.gid,
        0,
        tuple(group.gid for group in request.groups),
        request.read_only,
        process=_Described(request),
    )


# What for.


@dataclass(frozen=True, slots=True)
class _Object:
    """The secret that a request is about.

    Attributes:
        before: as it is; None if it is not there.
        id: None if it would get one.
        attributes: as it would be.
        as_ephemeral: the request says that it would be ephemeral; else it says nothing.
    """

    before: SecretState | None
    id: UUID | None
    attributes: Attributes
    as_ephemeral: bool

    @property
    def some_id(self) -> UUID:
        """Its id, or one that no secret has."""
        return self.id or uuid4()

    @property
    def usage(self) -> Usage:
        """Its usage.

        Raises:
            InvalidRequestError: it has none.
        """
        if self.attributes.usage is None:
            raise InvalidRequestError("this operation is about a usage, and the secret has none")
        return self.attributes.usage


_REQUESTS: Mapping[type[ops.Request[Any]], Callable[[_Object], ops.Request[Any]]] = MappingProxyType(
    {
        ops.AllocateId: lambda about: ops.AllocateId(ephemeral=about.as_ephemeral),
        ops.SetXml: lambda about: ops.SetXml(about.some_id, SecretDocument(about.attributes)),
        ops.Define: lambda about: ops.Define(SecretDocument(about.attributes, about.id)),
        ops.SetValue: lambda about: ops.SetValue(about.some_id, _ANY_VALUE, about.as_ephemeral),
        ops.GenerateValue: lambda about: ops.GenerateValue(about.some_id, length=1),
        ops.GetXml: lambda about: ops.GetXml(about.some_id),
        ops.GetValue: lambda about: ops.GetValue(about.some_id),
        ops.Delete: lambda about: ops.Delete(about.some_id),
        ops.LookupById: lambda about: ops.LookupById(about.some_id),
        ops.LookupByUsage: lambda about: ops.LookupByUsage(about.usage),
    }
)
"""A request of each operation that is about one secret."""

_DESCRIBING = (ops.SetXml, ops.Define)
"""What says what a secret is for: it can make one of a usage, or give one that is there another."""

_NAMING_NONE = (*_DESCRIBING, ops.AllocateId, ops.SetValue)
"""What can make a secret, so that none need be named."""


def _check_object(kind: type[ops.Request[Any]], request: Explain) -> None:
    named = (request.secret is not None) + (request.usage is not None)
    if named and (kind not in _REQUESTS or kind is ops.AllocateId):
        raise InvalidRequestError("this operation is about no one secret that could be named")
    if not named and kind in _REQUESTS and kind not in _NAMING_NONE:
        raise InvalidRequestError("say which secret it is about")
    if named > 1 and kind not in _DESCRIBING:
        raise InvalidRequestError("name the secret by its id or by its usage: this operation gives it no other")


class Explaining:
    """Explains what would come of requests."""

    def __init__(self, mode: Mode, access: Access, grants: Grants, trial: Trial) -> None:
        self._mode = mode
        self._access = access
        self._grants = grants
        self._sources = Sources(access, grants)
        self._trial = trial

    async def explain(self, _: Caller, request: Explain) -> Explained:
        """Explain what would come of a request.

        Raises:
            UnknownOperationError: there is no operation of this name.
            InvalidRequestError: it does not say who asks, or which secret is meant, or names one that does not matter.
            NotFoundError: no secret has this usage, and the operation would make none that has it.
        """
        operation = ops.BY_NAME.get(request.operation)
        if operation is None:
            raise UnknownOperationError("there is no operation of this name")
        caller = _caller(request)
        about = await self._object(operation.request, request)
        case = Case(self._trial, operation.permission, _REQUESTS[operation.request](about) if about else None)
        needs = await case.needs()
        error = await case.outcome(self._access, caller)
        # No grant helps where none is in force, nor him who would be refused though everything were granted.
        helps = error is not None and self._gives and await case.at_best(caller) is None
        return Explained(
            error is None,
            error.code if error else None,
            error.message if error else None,
            tuple(self._need(caller, one, about) for one in needs),
            tuple(self._lacking(request, caller, needs, about)) if helps else (),
        )

    @property
    def _gives(self) -> bool:
        """Whether a grant would give anything."""
        return self._mode is Mode.SYSTEM and self._grants.in_force

    async def _object(self, kind: type[ops.Request[Any]], request: Explain) -> _Object | None:
        """Find the secret that a request is about; None if the operation is not about one."""
        _check_object(kind, request)
        if kind not in _REQUESTS:
            return None
        before = None
        if request.secret is not None:
            before = await self._trial.find(request.secret)
        elif request.usage is not None:
            before = await self._trial.find_by_usage(request.usage)
            if before is None and kind not in (*_DESCRIBING, ops.LookupByUsage):
                raise NotFoundError("no secret has this usage")
        attributes = before.attributes if before else Attributes()
        if request.usage is not None:
            attributes = replace(attributes, usage=request.usage)
        if request.ephemeral is not None:
            attributes = replace(attributes, ephemeral=request.ephemeral)
        return _Object(before, before.id if before else request.secret, attributes, request.ephemeral is True)

    def _need(self, caller: Caller, asked: Asked, about: _Object | None) -> Need:
        source = self._source(caller, asked)
        held = any(self._access.allows(caller, one, asked.target) for one in _any_of(asked))
        return Need(_on(asked, about), held, source.owner, asked.permission, source.grants)

    def _lacking(self, request: Explain, caller: Caller, needs: list[Asked], about: _Object | None) -> Iterator[Grant]:
        """Give what would have to be granted."""
        keeps_id = about is not None and about.id is not None
        lacks = [Lack(one.permission, one.target, keeps_id) for one in needs if not self._source(caller, one)]
        taken = {grant.name for grant in self._grants.all}
        return proposed(f"allow-{request.operation}", principal_of(request), lacks, taken)

    def _source(self, caller: Caller, asked: Asked) -> Source:
        sources = (self._sources.of(caller, one, asked.target) for one in _any_of(asked))
        return next(filter(None, sources), Source())


def _any_of(asked: Asked) -> tuple[Permission, ...]:
    return tuple(Permission) if asked.permission is None else (asked.permission,)


def _on(asked: Asked, about: _Object | None) -> NeededOn:
    if asked.target is None:
        return NeededOn.SOMETHING
    before = about.before if about else None
    is_there = before is not None and before.attributes == asked.target.attributes
    return NeededOn.AS_IT_IS if is_there else NeededOn.AS_IT_WOULD_BE
