"""Requests about keys for the matrix of access, and what docs/access.md says becomes of them.

The table of permissions is that of helpers.access_page; the order in which a request is judged is written down here a
second time, from docs/access.md, "How a request is judged", and docs/keys.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from helpers.access_page import ALLOWED, NEEDS, AnyRequest, Holder, When
from secretd import keyrequests as requests
from secretd import operations as ops
from secretd.core.access import KeyTarget
from secretd.crypto.blob import seal_blob
from secretd.crypto.context import spell_context
from secretd.keys import Blob, KeyDocument, KeyId, Tag
from secretd.model import Digest, Permission, SecretValue

PROD, TEST = Tag("env", "prod"), Tag("env", "test")
VALUE = SecretValue(b"a value")
OLD = Digest("0" * 32)


@dataclass(frozen=True, slots=True)
class KeyThere:
    """A key that there is, enabled, exportable, and what it sealed.

    Attributes:
        id, tags: what grants may name it by.
        blob: holds VALUE, with no context.
    """

    id: KeyId
    tags: frozenset[Tag]
    blob: Blob

    @property
    def target(self) -> KeyTarget:
        """As it is."""
        return KeyTarget(self.id, self.tags)


def _sealed(key: KeyId) -> Blob:
    return Blob(seal_blob(bytes(32), key, 1, spell_context({}), b"nothing that opens"))


KEY: Final = KeyThere(KeyId("nightly"), frozenset({PROD}), _sealed(KeyId("nightly")))
"""An example of one."""


def about_keys(key: KeyThere) -> dict[str, AnyRequest]:
    """Make requests of every operation that is about keys, about this one."""
    document = KeyDocument(key.id, tags=tuple(key.tags), exportable=True)
    new = KeyId(f"{key.id}-new")
    return {
        "key-create": requests.KeyCreate(KeyDocument(new)),
        "key-create with a tag": requests.KeyCreate(KeyDocument(new, tags=(PROD,))),
        "key-create without an id": requests.KeyCreate(KeyDocument()),
        "key-create of one that is there": requests.KeyCreate(document),
        "key-import": requests.KeyImport(KeyDocument(new), SecretValue(bytes(32))),
        "key-list": requests.KeyList(),
        "key-describe": requests.KeyDescribe(key.id),
        "key-describe of one that is not there": requests.KeyDescribe(new),
        "key-update": requests.KeyUpdate(key.id, KeyDocument(key.id, description="x", tags=(PROD,), exportable=True)),
        "key-update with another tag": requests.KeyUpdate(key.id, KeyDocument(key.id, tags=(TEST,), exportable=True)),
        "key-enable": requests.KeyEnable(key.id),
        "key-disable": requests.KeyDisable(key.id),
        "key-disable with an old digest": requests.KeyDisable(key.id, OLD),
        "key-rotate": requests.KeyRotate(key.id),
        "key-archive": requests.KeyArchive(key.id),
        "key-restore": requests.KeyRestore(key.id),
        "key-attach": requests.KeyAttach(key.id, "sync:offsite"),
        "key-detach": requests.KeyDetach(key.id, "sync:offsite"),
        "key-schedule-deletion": requests.KeyScheduleDeletion(key.id),
        "key-cancel-deletion": requests.KeyCancelDeletion(key.id),
        "key-delete": requests.KeyDelete(key.id, key.id),
        "key-default": requests.KeyDefault(key.id),
        "key-export": requests.KeyExport(key.id),
        "generate-data-key": requests.GenerateDataKey(key.id),
        "generate-data-key wrapped": requests.GenerateDataKey(key.id, clear=False),
        "encrypt": requests.Encrypt(VALUE, key.id),
        "decrypt": requests.Decrypt(key.blob),
        "rewrap": requests.Rewrap(key.blob),
    }


# How a request is judged.


def key_outcome(holder: Holder, request: Any, key: KeyThere) -> str:
    """Say what becomes of a request about keys: ALLOWED, or the code of the error."""
    return _before_anything(holder, request) or _JUDGES.get(type(request), _judge)(holder, request, key)


def _before_anything(holder: Holder, request: Any) -> str | None:
    permission = ops.BY_REQUEST[type(request)].permission
    if holder.holds(permission):
        return None
    # Who may do nothing on a read-only connection hears no more than that.
    elsewhere = permission is not None and holder.granted(permission, None) and holder.holds(None)
    return "read-only" if holder.caller.read_only and elsewhere else "access-denied"


def _needed(request: Any) -> Permission:
    needs = NEEDS[ops.BY_REQUEST[type(request)].name]
    clear = getattr(request, "clear", None)
    when = None if clear is None else When.CLEAR if clear else When.WRAPPED
    permission = needs[when].permission
    assert permission is not None
    return permission


def _denied(holder: Holder, permission: Permission, target: KeyTarget) -> str | None:
    if holder.holds(permission, target):
        return None
    return "read-only" if holder.caller.read_only and holder.granted(permission, target) else "access-denied"


def _judge(holder: Holder, request: Any, key: KeyThere) -> str:
    target = key.target
    if request.key != key.id or not holder.holds(Permission.GETATTR, target):
        return "no-key"
    denied = _denied(holder, _needed(request), target)
    if denied:
        return denied
    if getattr(request, "digest", None) is not None:
        return "digest-mismatch"
    if isinstance(request, requests.KeyUpdate) and frozenset(request.document.tags) != key.tags:
        after = KeyTarget(key.id, frozenset(request.document.tags))
        asked = ((Permission.KEY_ADMIN, after), (Permission.DECRYPT, target), (Permission.EXPORT, target))
        return next(filter(None, (_denied(holder, *one) for one in asked)), ALLOWED)
    return _OF_ONE_IN_USE.get(type(request), ALLOWED)


_OF_ONE_IN_USE: dict[type[Any], str] = {
    **dict.fromkeys((requests.KeyEnable, requests.KeyRestore, requests.KeyCancelDeletion), "wrong-state"),
    **dict.fromkeys((requests.KeyScheduleDeletion, requests.KeyDelete), "wrong-state"),
    requests.KeyDetach: "invalid-request",
}
"""What the state of a key that is enabled, and needed by nobody, does not allow. Source: docs/keys.md, "States"."""


def _make(holder: Holder, request: Any, key: KeyThere) -> str:
    document = request.document
    denied = _denied(holder, Permission.KEY_ADMIN, KeyTarget(document.id, frozenset(document.tags)))
    return denied or ("conflict" if document.id == key.id else ALLOWED)


def _open(holder: Holder, request: Any, key: KeyThere) -> str:
    if not holder.holds(Permission.GETATTR, key.target):
        return "decryption-failed"
    return _denied(holder, _needed(request), key.target) or ALLOWED


def _list(_: Holder, __: Any, ___: KeyThere) -> str:
    return ALLOWED


_JUDGES: dict[type[Any], Callable[[Holder, Any, KeyThere], str]] = {
    requests.KeyCreate: _make,
    requests.KeyImport: _make,
    requests.Decrypt: _open,
    requests.Rewrap: _open,
    requests.KeyList: _list,
}
