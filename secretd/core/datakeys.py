"""The operations with keys: data keys are made, and bytes sealed and opened.

The bytes of a key are opened for one use and kept nowhere.  Each use is counted before it is made, and a version that
has none left, or whose time is over, is replaced before.  A blob that does not open, for whatever reason, and one that
was sealed by a key which is not there for this caller, are refused in the same words.

Source: docs/keys.md, "Data keys and blobs" and "Uses, and rotation by itself".
"""

from __future__ import annotations

import os

from secretd import keyrequests as requests
from secretd import limits
from secretd.core import keystates
from secretd.core.access import Access
from secretd.core.keyhome import Kept, KeyHome
from secretd.core.keys import no_key
from secretd.core.keystates import Action
from secretd.crypto.blob import Sealer, open_blob, peek_blob, seal_blob
from secretd.crypto.context import spell_context
from secretd.errors import BusyError, DecryptionError, InvalidRequestError
from secretd.keys import Blob, KeyId, context_of
from secretd.model import Caller, Permission, SecretValue
from secretd.store.base import RevisionConflict


class DataKeys:
    """What may be done with the keys of one home."""

    def __init__(self, access: Access, home: KeyHome) -> None:
        self._access = access
        self._home = home

    async def generate_data_key(self, caller: Caller, request: requests.GenerateDataKey) -> requests.DataKey:
        """Make a key for one object."""
        context = spell_context(context_of(request.context))
        permission = Permission.GENERATE if request.clear else Permission.GENERATE_WRAPPED
        kept, material = await self._sealing(caller, request.key, permission)
        key, version = kept.key.id, kept.key.version
        value = os.urandom(request.spec.length)
        blob = Blob(seal_blob(material, key, version, context, value))
        return requests.DataKey(key, version, blob, SecretValue(value) if request.clear else None)

    async def encrypt(self, caller: Caller, request: requests.Encrypt) -> requests.Encrypted:
        """Seal some bytes."""
        context = spell_context(context_of(request.context))
        kept, material = await self._sealing(caller, request.key, Permission.ENCRYPT)
        key, version = kept.key.id, kept.key.version
        return requests.Encrypted(
            key, version, Blob(seal_blob(material, key, version, context, request.value.reveal()))
        )

    async def decrypt(self, caller: Caller, request: requests.Decrypt) -> requests.Decrypted:
        """Open a blob."""
        context = spell_context(context_of(request.context))
        sealer = _sealer_of(request.blob)
        if request.key not in (None, sealer.key):
            raise _does_not_open()
        value = await self._open(caller, sealer, context, request.blob, Permission.DECRYPT, Action.OPEN)
        return requests.Decrypted(sealer.key, sealer.version, SecretValue(value))

    async def rewrap(self, caller: Caller, request: requests.Rewrap) -> requests.Encrypted:
        """Seal what is in a blob anew; none of it is shown."""
        context = spell_context(context_of(request.context))
        sealer = _sealer_of(request.blob)
        target = sealer.key if request.key is None else request.key
        within = target == sealer.key
        if not within:
            self._judge(caller, target, Permission.ENCRYPT, Action.SEAL)
        permission, actions = (
            (Permission.ENCRYPT, (Action.OPEN, Action.SEAL)) if within else (Permission.DECRYPT, (Action.OPEN,))
        )
        value = await self._open(caller, sealer, context, request.blob, permission, *actions)
        kept, material = await self._sealing(caller, target, Permission.ENCRYPT)
        key, version = kept.key.id, kept.key.version
        return requests.Encrypted(key, version, Blob(seal_blob(material, key, version, context, value)))

    async def _sealing(self, caller: Caller, key: KeyId | None, permission: Permission) -> tuple[Kept, bytes]:
        """Give the key to seal by once, and the bytes of its newest version; that is counted."""
        for _ in range(limits.COMMIT_RETRIES):
            kept = self._judge(caller, key, permission, Action.SEAL)
            if not self._home.take_use(kept):
                await self._home.renew(kept)
                continue
            try:
                return kept, await self._home.material(kept, kept.key.version)
            except RevisionConflict:
                continue
        raise _unsettled()

    async def _open(  # what opens a blob, and who may
        self, caller: Caller, sealer: Sealer, context: bytes, blob: Blob, permission: Permission, *actions: Action
    ) -> bytes:
        for _ in range(limits.COMMIT_RETRIES):
            self._home.require_read()
            kept = self._home.find(sealer.key)
            if kept is None or not self._access.allows(caller, Permission.GETATTR, kept.key.target):
                raise _does_not_open()
            self._require(caller, kept, permission, *actions)
            if sealer.version > kept.key.version:
                raise _does_not_open()
            try:
                material = await self._home.material(kept, sealer.version)
            except RevisionConflict:
                continue
            value = open_blob(material, sealer, context, blob.data)
            if value is None:
                raise _does_not_open()
            return value
        raise _unsettled()

    def _judge(self, caller: Caller, key: KeyId | None, permission: Permission, action: Action) -> Kept:
        """Give the key that is named, or the default key, if the caller may do this and its state allows it."""
        self._home.require_read()
        named = self._home.default if key is None else key
        kept = self._home.find(named) if named is not None else None
        if kept is None or not self._access.allows(caller, Permission.GETATTR, kept.key.target):
            if key is None:
                raise InvalidRequestError("no key is named, and there is no default key")
            raise no_key()
        self._require(caller, kept, permission, action)
        return kept

    def _require(self, caller: Caller, kept: Kept, permission: Permission, *actions: Action) -> None:
        self._access.require(caller, permission, kept.key.target)
        self._home.require_in_force()
        for action in actions:
            keystates.require(kept.state, action)


def _sealer_of(blob: Blob) -> Sealer:
    sealer = peek_blob(blob.data)
    if sealer is None:
        raise _does_not_open()
    return sealer


def _does_not_open() -> DecryptionError:
    return DecryptionError("the blob does not open: by its key, if you may see that, with this encryption context")


def _unsettled() -> BusyError:
    return BusyError("others kept changing this key; nothing was done, try again")
