"""The operations on keys: what each means, in which order it checks, and what it leaves unchanged.

A key that the caller may not getattr is answered as one that does not exist.  Whether he may is judged before the
digest and the state, so that a denial says nothing of them.  A change is authorised on the key as it is, and one of its
tags on the key as it would be too.  Changes of keys follow each other.

Source: docs/keys.md.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

from secretd import keyrequests as requests
from secretd import limits
from secretd.core import keyfiles, keystates, lifecycle
from secretd.core.access import Access, KeyTarget
from secretd.core.clock import Clock
from secretd.core.derivations import Derivations
from secretd.core.events import Listener
from secretd.core.keyfiles import Material
from secretd.core.keyform import Key, Version
from secretd.core.keyhome import DEFAULT_CONSUMER, Kept, KeyHome, references_of
from secretd.core.keystates import Action
from secretd.crypto.envelope import first_counter
from secretd.errors import (
    BusyError,
    ConflictError,
    DigestMismatchError,
    InvalidRequestError,
    NoKeyError,
    OperationInvalidError,
)
from secretd.keys import KeyDocument, KeyId, KeyOrigin
from secretd.lifecycle import Lifecycle, Reference
from secretd.model import Caller, Digest, Permission, SecretValue
from secretd.moments import moment_of
from secretd.store.base import RevisionConflict

_WRITTEN_MOST = 6
"""So many times as long as it is kept a description is at most in a reply: a quote is one byte there and six here."""

_ENTRY_BYTES = 512
"""An entry of a list without its description takes fewer bytes."""

Rule = Callable[[Lifecycle], Lifecycle]


class Keys:
    """What may be done with the keys of one home, but to use them."""

    def __init__(self, access: Access, home: KeyHome, clock: Clock, derivations: Derivations) -> None:
        self._access = access
        self._home = home
        self._clock = clock
        self._derivations = derivations

    # Making and showing.

    async def create(self, caller: Caller, request: requests.KeyCreate) -> requests.KeyChanged:
        """Make a key, whose bytes are made inside.

        Raises:
            ConflictError: the id is taken, or was once.
            QuotaError: there are as many keys as there may be.
        """
        self._authorise_new(caller, request.document)
        version = Version(await self._clock.now(), first_counter(), KeyOrigin.GENERATED)
        return await self._keep_new(request.document, version, os.urandom(limits.KEY_BYTES))

    async def import_key(
        self, caller: Caller, request: requests.KeyImport, waits: Listener | None = None
    ) -> requests.KeyChanged:
        """Make a key of bytes that are given; ``waits`` is who waits for the answer.

        Raises:
            InvalidRequestError, BusyError: what keyfiles.read raises.
            ConflictError, QuotaError: as for ``create``.
        """
        self._authorise_new(caller, request.document)
        material = await keyfiles.read(request, self._derivations, waits)
        version = Version(
            material.created if material.created is not None else await self._clock.now(),
            first_counter(),
            KeyOrigin.IMPORTED,
            hint=material.hint,
            modified=material.modified,
        )
        return await self._keep_new(request.document, version, material.key)

    async def export(
        self, caller: Caller, request: requests.KeyExport, waits: Listener | None = None
    ) -> requests.KeyExported:
        """Give the bytes of an exportable key; ``waits`` is who waits for the answer.

        Raises:
            OperationInvalidError: it is not exportable.
            InvalidRequestError: it has no such version, or what keyfiles.write raises.
            BusyError: as keyfiles.write.
        """
        for _ in range(limits.COMMIT_RETRIES):
            kept = self._visible(caller, request.key)
            self._access.require(caller, Permission.EXPORT, kept.key.target)
            self._home.require_in_force()
            if not kept.key.document.exportable:
                raise OperationInvalidError("the key is not exportable: its bytes never leave the daemon")
            keystates.require(kept.state, Action.EXPORT)
            number = kept.key.version if request.version is None else request.version
            if number > kept.key.version:
                raise InvalidRequestError("the key has no such version")
            try:
                bytes_of_it = await self._home.material(kept, number)
            except RevisionConflict:
                continue
            written = await self._written(request, kept.key.versions[number - 1], bytes_of_it, waits)
            return requests.KeyExported(number, SecretValue(written), keyfiles.fingerprint(bytes_of_it))
        raise BusyError("others kept changing this key; try again")

    async def _written(
        self, request: requests.KeyExport, version: Version, material: bytes, waits: Listener | None
    ) -> bytes:
        imported = version.origin is KeyOrigin.IMPORTED
        of_it = Material(material, version.created if imported else None, version.modified, version.hint)
        return await keyfiles.write(request, of_it, version.created, self._derivations, waits)

    def _authorise_new(self, caller: Caller, document: KeyDocument) -> None:
        self._access.require(caller, Permission.KEY_ADMIN, KeyTarget(document.id, frozenset(document.tags)))
        self._home.require_in_force()

    async def _keep_new(self, document: KeyDocument, version: Version, material: bytes) -> requests.KeyChanged:
        named = replace(document, id=document.id or KeyId(str(uuid4())))
        key = Key(named, await self._clock.now(), (version,))
        async with self._home.hold():
            if not self._home.is_free(key.id):
                # Whoever might have made it learns that much, and nothing more.
                raise ConflictError("this id is not free: a key has it, or had it once")
            return self._changed(await self._home.create(key, material))

    async def list(self, caller: Caller, request: requests.KeyList) -> requests.KeysListed:
        """Give a page of the keys that the caller may see, in the order of their ids."""
        self._home.require_read()
        page: list[requests.KeyEntry] = []
        room = int(limits.PAGE_BYTES)
        for kept in self._home.since(request.marker):
            if not request.archived and kept.key.lifecycle.out_of_use is not None:
                continue
            if not self._access.allows(caller, Permission.GETATTR, kept.key.target):
                continue
            room -= _ENTRY_BYTES + _WRITTEN_MOST * len((kept.key.document.description or "").encode())
            if len(page) == request.limit or (room < 0 and page):
                return requests.KeysListed(tuple(page), truncated=True, next_marker=kept.key.id)
            page.append(self._entry(kept))
        return requests.KeysListed(tuple(page), truncated=False)

    def _entry(self, kept: Kept) -> requests.KeyEntry:
        key = kept.key
        return requests.KeyEntry(
            key.id,
            self._home.digest(kept),
            kept.state,
            key.version,
            key.backend,
            key.id == self._home.default,
            key.document.description,
        )

    async def describe(self, caller: Caller, request: requests.KeyDescribe) -> requests.KeyDescribed:
        """Say all that is known of a key, but its bytes."""
        kept = self._visible(caller, request.key)
        key, used = kept.key, await self._home.uses(kept)
        befell = key.lifecycle
        uses = [*(version.uses for version in key.versions[:-1]), used]
        return requests.KeyDescribed(
            self._home.digest(kept),
            key.document,
            kept.state,
            key.version,
            key.backend,
            key.id == self._home.default,
            moment_of(key.created),
            rotated=moment_of(key.versions[-1].created) if key.version > 1 else None,
            archived=moment_of(befell.archived) if befell.archived is not None else None,
            due=moment_of(befell.due) if befell.due is not None else None,
            versions=tuple(
                requests.KeyVersion(number, moment_of(version.created), version.origin, uses[number - 1])
                for number, version in enumerate(key.versions, 1)
            ),
            references=references_of(self._home, kept),
        )

    # Changing.

    async def update(self, caller: Caller, request: requests.KeyUpdate) -> requests.KeyChanged:
        """Replace what is said of a key.

        Raises:
            InvalidRequestError: the document names another id or usage, or says otherwise whether it is exportable.
        """
        wanted = replace(request.document, id=request.document.id or request.key)

        async def change(kept: Kept) -> Kept:
            before = kept.key.document
            if (wanted.id, wanted.usage, wanted.exportable) != (before.id, before.usage, before.exportable):
                raise InvalidRequestError(
                    "a key's id, its usage and whether it is exportable stay: the document has to say them as they are"
                )
            self._authorise_after(caller, kept, wanted)
            return await self._home.replace(kept, replace(kept.key, document=wanted))

        return self._changed(
            await self._change(caller, request.key, request.digest, Permission.KEY_ADMIN, Action.UPDATE, change)
        )

    def _authorise_after(self, caller: Caller, kept: Kept, wanted: KeyDocument) -> None:
        if wanted.tags == kept.key.document.tags:
            return
        # Who may tag says by it who else may do what; so it is as good as doing it.
        self._access.require(caller, Permission.KEY_ADMIN, KeyTarget(kept.key.id, frozenset(wanted.tags)))
        self._access.require(caller, Permission.DECRYPT, kept.key.target)
        if wanted.exportable:
            self._access.require(caller, Permission.EXPORT, kept.key.target)

    async def enable(self, caller: Caller, request: requests.KeyEnable) -> requests.KeyChanged:
        """Let a disabled key be used again."""
        return await self._set_disabled(caller, request, Action.ENABLE, disabled=False)

    async def disable(self, caller: Caller, request: requests.KeyDisable) -> requests.KeyChanged:
        """Let a key neither seal nor open anything."""
        return await self._set_disabled(caller, request, Action.DISABLE, disabled=True)

    async def _set_disabled(
        self, caller: Caller, request: requests.KeyEnable | requests.KeyDisable, action: Action, *, disabled: bool
    ) -> requests.KeyChanged:
        async def change(kept: Kept) -> Kept:
            return await self._home.replace(kept, replace(kept.key, disabled=disabled))

        return self._changed(
            await self._change(caller, request.key, request.digest, Permission.KEY_ADMIN, action, change)
        )

    async def rotate(self, caller: Caller, request: requests.KeyRotate) -> requests.KeyRotated:
        """Give a key a new version.

        Raises:
            QuotaError: it has as many as it may have.
        """
        kept = await self._change(
            caller, request.key, request.digest, Permission.KEY_ADMIN, Action.ROTATE, self._home.rotate
        )
        return requests.KeyRotated(kept.key.id, self._home.digest(kept), kept.key.version)

    async def archive(self, caller: Caller, request: requests.KeyArchive) -> requests.KeyChanged:
        """Take a key out of new use.

        Raises:
            ReferencedError: an active consumer needs it.
        """
        now = await self._clock.now()
        return self._changed(
            await self._befall(
                caller,
                request,
                Permission.ARCHIVE,
                Action.ARCHIVE,
                lambda before: lifecycle.archive(before, now, shown=True),
            )
        )

    async def restore(self, caller: Caller, request: requests.KeyRestore) -> requests.KeyChanged:
        """Make an archived key again what it was before."""
        return self._changed(await self._befall(caller, request, Permission.ARCHIVE, Action.RESTORE, lifecycle.restore))

    async def attach(self, caller: Caller, request: requests.KeyAttach) -> requests.KeyChanged:
        """Note that a consumer needs a key, or needs it otherwise than before.

        Raises:
            InvalidRequestError: the consumer is named like one of the daemon's own.
            QuotaError: as many need it as may.
        """
        _refuse_own(request.consumer)
        reference = Reference(request.consumer, request.kind)
        return self._changed(
            await self._befall(
                caller,
                request,
                Permission.ARCHIVE,
                Action.ATTACH,
                lambda before: lifecycle.attach(before, reference),
                default=False,
            )
        )

    async def detach(self, caller: Caller, request: requests.KeyDetach) -> requests.KeyChanged:
        """Note that a consumer needs a key no more.

        Raises:
            InvalidRequestError: he is not among those who need it, or is named like one of the daemon's own.
        """
        _refuse_own(request.consumer)
        return self._changed(
            await self._befall(
                caller,
                request,
                Permission.ARCHIVE,
                Action.DETACH,
                lambda before: lifecycle.detach(before, request.consumer),
                default=False,
            )
        )

    async def schedule_deletion(
        self, caller: Caller, request: requests.KeyScheduleDeletion
    ) -> requests.KeyDeletionScheduled:
        """Have a key destroyed after some days.

        Raises:
            ReferencedError: somebody needs it.
        """
        now = await self._clock.now()
        kept = await self._befall(
            caller,
            request,
            Permission.DELETE,
            Action.SCHEDULE_DELETION,
            lambda before: lifecycle.schedule(before, now, request.days, shown=True),
        )
        due = moment_of(now + request.days * lifecycle.DAY_S)
        return requests.KeyDeletionScheduled(kept.key.id, self._home.digest(kept), due)

    async def cancel_deletion(self, caller: Caller, request: requests.KeyCancelDeletion) -> requests.KeyChanged:
        """Have a key not destroyed after all."""
        return self._changed(
            await self._befall(caller, request, Permission.DELETE, Action.CANCEL_DELETION, lifecycle.cancel)
        )

    async def delete(self, caller: Caller, request: requests.KeyDelete) -> requests.KeyDeleted:
        """Destroy a key at once.

        Raises:
            InvalidRequestError: its id is not given twice.
            ReferencedError: somebody needs it.
        """
        if request.confirm != request.key:
            raise InvalidRequestError("to destroy a key at once its id has to be given twice, and alike")

        async def change(kept: Kept) -> Kept:
            lifecycle.refuse_referenced(references_of(self._home, kept), shown=True)
            await self._home.destroy(kept)
            return kept

        await self._change(caller, request.key, request.digest, Permission.DELETE, Action.DELETE, change)
        return requests.KeyDeleted()

    async def default(self, caller: Caller, request: requests.KeyDefault) -> requests.DefaultKey:
        """Have a key used where none is named, or none; who may has to be able to say so of the one before too."""
        async with self._home.hold():
            after = self._visible(caller, request.key) if request.key is not None else None
            before = self._home.find(self._home.default) if self._home.default is not None else None
            for kept in (after, before):
                if kept is not None:
                    self._access.require(caller, Permission.KEY_ADMIN, kept.key.target)
            self._home.require_in_force()
            if after is not None:
                keystates.require(after.state, Action.DEFAULT)
            await self._home.set_default(request.key)
        return requests.DefaultKey()

    async def _befall(  # noqa: PLR0913  # what a change is made of
        self,
        caller: Caller,
        request: requests.KeyArchive
        | requests.KeyRestore
        | requests.KeyAttach
        | requests.KeyDetach
        | requests.KeyScheduleDeletion
        | requests.KeyCancelDeletion,
        permission: Permission,
        action: Action,
        rule: Rule,
        *,
        default: bool = True,
    ) -> Kept:
        """Change what befell a key by a rule, to which the default key has one consumer more unless told otherwise."""

        async def change(kept: Kept) -> Kept:
            before = kept.key.lifecycle
            after = rule(replace(before, references=references_of(self._home, kept)) if default else before)
            if default:
                after = replace(after, references=before.references)
            if after.due is not None:
                # So that no clock that is set back before the next round makes it later.
                await self._keep_moment()
            return await self._home.replace(kept, replace(kept.key, lifecycle=after))

        return await self._change(caller, request.key, request.digest, permission, action, change)

    async def _change(  # noqa: PLR0913, PLR0917  # what a change is made of
        self,
        caller: Caller,
        key: KeyId,
        digest: Digest | None,
        permission: Permission,
        action: Action,
        change: Callable[[Kept], Awaitable[Kept]],
    ) -> Kept:
        async with self._home.hold():
            kept = self._visible(caller, key)
            self._access.require(caller, permission, kept.key.target)
            if digest is not None and digest != self._home.digest(kept):
                raise DigestMismatchError("the key was changed since its digest was read")
            self._home.require_in_force()
            keystates.require(kept.state, action)
            return await change(kept)

    async def _keep_moment(self) -> None:
        for _ in range(limits.COMMIT_RETRIES):
            with suppress(RevisionConflict):
                await self._clock.keep()
                return
        raise BusyError("the time is being kept by others; nothing was done, try again")

    def _visible(self, caller: Caller, key: KeyId) -> Kept:
        self._home.require_read()
        kept = self._home.find(key)
        if kept is None or not self._access.allows(caller, Permission.GETATTR, kept.key.target):
            raise no_key()
        return kept

    def _changed(self, kept: Kept) -> requests.KeyChanged:
        return requests.KeyChanged(kept.key.id, self._home.digest(kept))


def no_key() -> NoKeyError:
    """Make the error for a key that is not there, or not for this caller."""
    return NoKeyError("there is no such key")


def _refuse_own(consumer: str) -> None:
    if consumer == DEFAULT_CONSUMER:
        raise InvalidRequestError(f"'{DEFAULT_CONSUMER}' is who needs the default key: see key-default")
