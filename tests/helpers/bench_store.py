"""Fills a store without a daemon: real records under the real keyring, many to a commit.

Through the socket a million secrets would take an hour.  What is written here is what the daemon would have written:
sealed by the project's own crypto, and committed by its own store.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from uuid import UUID

from secretd.core import attributes as form
from secretd.core.kinds import ATTRIBUTES, USAGE, VALUE
from secretd.core.sealing import Seal
from secretd.core.wholeness import Wholeness
from secretd.crypto import envelope, padding
from secretd.crypto.envelope import Domain
from secretd.crypto.keyring import Keyring
from secretd.crypto.slots import SlotLocation
from secretd.model import Attributes, SealState, SecretValue, SlotKind, Usage, UsageType
from secretd.store.base import Put, Store
from secretd.store.registry import open_store

FILLED_VALUE_BYTES = 64

_COUNTER = 1
_SECRETS_PER_COMMIT = 30
_COMMITS_AT_ONCE = 128


def ids(count: int) -> list[UUID]:
    """Give the ids of the secrets in a store of so many, in their order."""
    chance = random.Random(count)
    return sorted(UUID(int=chance.getrandbits(128), version=4) for _ in range(count))


def usage(number: int) -> Usage:
    """Give the usage of the secret with this place in ``ids``."""
    return Usage(UsageType.VOLUME, f"/var/lib/libvirt/images/guest-{number:07}.qcow2")


def fill(data: Path, config: Path, count: int) -> None:
    """Make the store of a daemon that was never started, with secrets that have a usage and a value.

    Args:
        data: where the store and the keyring are made.
        config: where the root key is made.
        count: how many secrets.
    """
    asyncio.run(_fill(data, config, count))


async def _fill(data: Path, config: Path, count: int) -> None:
    store = await open_store(f"sqlite://{data / 'store'}")
    try:
        seal = Seal(store, data / "keyring", [SlotLocation(SlotKind.LOCAL_FILE, config)], os.geteuid())
        status = await seal.open()
        if status.state is not SealState.OPEN:
            raise AssertionError(f"the store cannot be filled: {status.reason}")
        wholeness = Wholeness(store, seal)
        await wholeness.begin()
        await _write(store, seal.keyrings[Domain.SHARED], ids(count))
        await wholeness.note()
        wholeness.close()
        seal.wipe()
    finally:
        await store.close()


async def _write(store: Store, keyring: Keyring, secrets: Sequence[UUID]) -> None:
    commits = _commits(keyring, secrets)
    # So many wait together that they share a transaction.
    while at_once := list(islice(commits, _COMMITS_AT_ONCE)):
        await asyncio.gather(*(store.commit(puts) for puts in at_once))


def _commits(keyring: Keyring, secrets: Sequence[UUID]) -> Iterator[list[Put]]:
    for first in range(0, len(secrets), _SECRETS_PER_COMMIT):
        group = enumerate(secrets[first : first + _SECRETS_PER_COMMIT], first)
        yield [put for number, secret in group for put in _records(keyring, number, secret)]


def _records(keyring: Keyring, number: int, secret: UUID) -> tuple[Put, ...]:
    attributes = form.to_bytes(Attributes(usage=usage(number)), _COUNTER)
    plaintexts = {
        ATTRIBUTES + secret.bytes: attributes,
        VALUE + secret.bytes: padding.pad(SecretValue(os.urandom(FILLED_VALUE_BYTES))),
        USAGE + keyring.usage_key(usage(number)): secret.bytes,
    }
    return tuple(Put(key, envelope.seal(keyring, key, _COUNTER, plain)) for key, plain in plaintexts.items())
