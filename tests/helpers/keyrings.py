"""Fixed keyrings and seal files for tests."""

from __future__ import annotations

from uuid import UUID

from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.sealfile import SealFile
from secretd.model import SlotKind

ROOT_KEY = bytes(range(32))
FILE_KEY = bytes(range(32, 64))
CREDENTIAL_KEY = bytes(range(64, 96))
SLOTS = ((SlotKind.LOCAL_FILE, FILE_KEY), (SlotKind.CREDENTIAL, CREDENTIAL_KEY))


def fixed_keyring(domain: Domain = Domain.SHARED, seed: int = 1) -> Keyring:
    """Make a keyring of one version, whose keys follow from the domain and ``seed`` alone."""
    keys = [bytes([seed, domain.value, number]) + bytes(29) for number in range(3)]
    return Keyring(domain, UUID(int=seed), {1: keys[0]}, keys[1], keys[2])


def new_seal_file(domain: Domain = Domain.SHARED) -> tuple[SealFile, Keyring]:
    """Make a seal file with a slot of each kind."""
    return SealFile.create(domain, ROOT_KEY, SLOTS)
