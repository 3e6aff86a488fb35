"""Keys for tests: made through the core's own service, and used."""

from __future__ import annotations

from helpers.core import OWNER, Core
from secretd import keyrequests as requests
from secretd.keys import Blob, ContextPair, KeyDocument, KeyId, key_id_of
from secretd.model import Caller, SecretValue


def key_id(text: str) -> KeyId:
    """Give the id of a key; fails if it is none."""
    key = key_id_of(text)
    if key is None:
        raise ValueError(text)
    return key


NIGHTLY, OTHER = key_id("nightly"), key_id("other")
CONTEXT = (ContextPair("datastore", "tank"), ContextPair("ä\n", '"'))
PLAIN = b"open sesame"


async def create(core: Core, key: KeyId = NIGHTLY, document: KeyDocument | None = None) -> requests.KeyChanged:
    """Make a key."""
    return await core.call(requests.KeyCreate(document or KeyDocument(key)))


async def describe(core: Core, key: KeyId = NIGHTLY, caller: Caller = OWNER) -> requests.KeyDescribed:
    """Say all of a key."""
    return await core.call(requests.KeyDescribe(key), caller)


async def seal(core: Core, key: KeyId | None = NIGHTLY, plain: bytes = PLAIN) -> Blob:
    """Seal some bytes."""
    return (await core.call(requests.Encrypt(SecretValue(plain), key, CONTEXT))).blob


async def opened(core: Core, blob: Blob, key: KeyId | None = None, context: tuple[ContextPair, ...] = CONTEXT) -> bytes:
    """Open a blob."""
    return (await core.call(requests.Decrypt(blob, key, context))).value.reveal()
