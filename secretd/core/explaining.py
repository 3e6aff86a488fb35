"""Explaining: what would come of a request of somebody's, by which grants, or what would have to be granted.

The caller is made up, and judged by the policy and the handlers that judge all: see core/trial.py and core/needs.py.

Source: docs/access.md, "Explained".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from secretd import operations as ops
from secretd.core.access import Access, KeyTarget, Target
from secretd.core.grantstore import Grants
from secretd.core.keysamples import ABOUT_KEYS, AboutKey
from secretd.core.needs import Asked, Case
from secretd.core.proposing import Lack, principal_of, proposed
from secretd.core.samples import ABOUT_SECRETS, AboutSecret
from secretd.core.sources import Source, Sources
from secretd.core.trial import Trial
from secretd.errors import InvalidRequestError, NotFoundError, UnknownOperationError
from secretd.grantrequests import Explain, Explained, Need, NeededOn
from secretd.grants import EveryKey, EverySecret, Grant
from secretd.keyrequests import KeyCreate, KeyImport, KeyList, KeyUpdate
from secretd.keys import KeyDocument, Tag
from secretd.model import Attributes, Caller, Executable, Mode, Permission, Process, Unit

_NOBODY: Final = 2**32 - 1
"""A user and a group that nobody is, and no grant can name. Source: chown(2)."""


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


_DESCRIBING = (ops.SetXml, ops.Define)
"""What says what a secret is for: it can make one of a usage, or give one that is there another."""

_NAMING_NONE = (*_DESCRIBING, ops.AllocateId, ops.SetValue)
"""What can make a secret, so that none need be named."""


_MAKING_KEYS = (KeyCreate, KeyImport)
_TAGGING = (*_MAKING_KEYS, KeyUpdate)


def _check_object(kind: type[ops.Request[Any]], request: Explain) -> None:
    if request.key is not None and kind not in ABOUT_KEYS:
        raise InvalidRequestError("this operation is about no one key that could be named")
    if request.tags and kind not in _TAGGING:
        raise InvalidRequestError("this operation gives a key no tags")
    named = (request.secret is not None) + (request.usage is not None)
    if named and (kind not in ABOUT_SECRETS or kind is ops.AllocateId):
        raise InvalidRequestError("this operation is about no one secret that could be named")
    if not named and kind in ABOUT_SECRETS and kind not in _NAMING_NONE:
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
            InvalidRequestError: it does not say who asks, or which secret or key is meant, or names one that does not
                matter.
            InvalidDocumentError: the key would have tags that none can have.
            NotFoundError: no secret has this usage, and the operation would make none that has it.
        """
        operation = ops.BY_NAME.get(request.operation)
        if operation is None:
            raise UnknownOperationError("there is no operation of this name")
        caller = _caller(request)
        about, wanted = await self._object(operation.request, request)
        case = Case(self._trial, operation.permission, wanted)
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

    async def _object(
        self, kind: type[ops.Request[Any]], request: Explain
    ) -> tuple[AboutSecret | None, ops.Request[Any] | None]:
        """Find the secret that a request is about, and make that; None if the operation is not about one."""
        _check_object(kind, request)
        if kind in ABOUT_KEYS:
            return None, ABOUT_KEYS[kind](self._key(kind, request))
        if kind not in ABOUT_SECRETS:
            return None, None
        about = await self._secret(kind, request)
        return about, ABOUT_SECRETS[kind](about)

    def _key(self, kind: type[ops.Request[Any]], request: Explain) -> AboutKey:
        """Give the key that a request is about, as it would be."""
        key = self._trial.find_key(request.key) if request.key is not None else None
        document = key.document if key is not None and kind not in _MAKING_KEYS else KeyDocument(request.key)
        if request.tags:
            document = replace(document, tags=tuple(Tag(pair.name, pair.text) for pair in request.tags))
        return AboutKey(request.key, document, key.lifecycle.references if key else ())

    async def _secret(self, kind: type[ops.Request[Any]], request: Explain) -> AboutSecret:
        """Find the secret that a request is about."""
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
        return AboutSecret(before, before.id if before else request.secret, attributes, request.ephemeral is True)

    def _need(self, caller: Caller, asked: Asked, about: AboutSecret | None) -> Need:
        source = self._source(caller, asked)
        held = any(self._access.allows(caller, one, asked.target) for one in _any_of(asked))
        return Need(self._on(asked, about), held, source.owner, asked.permission, source.grants)

    def _lacking(
        self, request: Explain, caller: Caller, needs: list[Asked], about: AboutSecret | None
    ) -> Iterator[Grant]:
        """Give what would have to be granted."""
        keeps_id = about is not None and about.id is not None
        something = EveryKey() if ops.BY_NAME[request.operation].request in (*ABOUT_KEYS, KeyList) else EverySecret()
        lacks = [
            Lack(one.permission, one.target, keeps_id, something) for one in needs if not self._source(caller, one)
        ]
        taken = {grant.name for grant in self._grants.all}
        return proposed(f"allow-{request.operation}", principal_of(request), lacks, taken)

    def _on(self, asked: Asked, about: AboutSecret | None) -> NeededOn:
        match asked.target:
            case Target():
                before = about.before if about else None
                is_there = before is not None and before.attributes == asked.target.attributes
                return NeededOn.AS_IT_IS if is_there else NeededOn.AS_IT_WOULD_BE
            case KeyTarget():
                key = self._trial.find_key(asked.target.id) if asked.target.id is not None else None
                is_there = key is not None and key.target == asked.target
                return NeededOn.KEY_AS_IT_IS if is_there else NeededOn.KEY_AS_IT_WOULD_BE
            case _:
                return NeededOn.SOMETHING

    def _source(self, caller: Caller, asked: Asked) -> Source:
        sources = (self._sources.of(caller, one, asked.target) for one in _any_of(asked))
        return next(filter(None, sources), Source())


def _any_of(asked: Asked) -> tuple[Permission, ...]:
    return tuple(Permission) if asked.permission is None else (asked.permission,)
