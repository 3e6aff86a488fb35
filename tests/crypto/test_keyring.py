from __future__ import annotations

import copy
import hmac
import logging
import pickle
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.keyrings import fixed_keyring
from secretd.crypto.envelope import open_record, seal
from secretd.crypto.keyring import VERSION_MOST, Domain, Keyring
from secretd.errors import SealError, SecretdError, StoreCorruptError
from secretd.model import Usage, UsageType

USAGE = Usage(UsageType.CEPH, "client.admin")
KEYS = st.binary(min_size=32, max_size=32)


def keyring_of(keys: dict[int, bytes]) -> Keyring:
    return Keyring(Domain.SHARED, UUID(int=1), keys, bytes(32), bytes(32))


class TestGenerated:
    def test_has_version_1_and_an_id_of_its_own(self) -> None:
        one, other = Keyring.generate(Domain.NODE), Keyring.generate(Domain.NODE)
        assert (one.current, one.domain) == (1, Domain.NODE)
        assert one.id != other.id

    def test_shares_no_key_with_another(self) -> None:
        one, other = Keyring.generate(Domain.SHARED), Keyring.generate(Domain.SHARED)
        assert one.usage_key(USAGE) != other.usage_key(USAGE)
        assert one.digest(UUID(int=0), 1, 1) != other.digest(UUID(int=0), 1, 1)
        with pytest.raises(StoreCorruptError):
            open_record({Domain.SHARED: other}, b"name", seal(one, b"name", 1, b""))


class TestRotated:
    def test_seals_under_the_new_version_and_opens_the_old(self) -> None:
        old = fixed_keyring()
        new = old.rotated()
        before, after = seal(old, b"name", 1, b"before"), seal(new, b"name", 2, b"after")
        opened = [open_record({Domain.SHARED: new}, b"name", sealed) for sealed in (before, after)]
        assert [(record.version, record.plaintext) for record in opened] == [(1, b"before"), (2, b"after")]

    def test_the_old_one_does_not_open_the_new_version(self) -> None:
        old = fixed_keyring()
        sealed = seal(old.rotated(), b"name", 1, b"")
        with pytest.raises(StoreCorruptError, match="version"):
            open_record({Domain.SHARED: old}, b"name", sealed)

    def test_keeps_id_lookups_and_digests(self) -> None:
        old = fixed_keyring(Domain.NODE)
        new = old.rotated()
        assert (new.domain, new.id) == (old.domain, old.id)
        assert new.usage_key(USAGE) == old.usage_key(USAGE)
        assert new.digest(UUID(int=5), 3, 4) == old.digest(UUID(int=5), 3, 4)

    def test_outlives_the_old_one(self) -> None:
        old = fixed_keyring()
        new = old.rotated()
        sealed = seal(old, b"name", 1, b"plain")
        old.wipe()
        assert open_record({Domain.SHARED: new}, b"name", sealed).plaintext == b"plain"

    def test_ends_with_the_last_number(self) -> None:
        with pytest.raises(SealError, match="no version left"):
            keyring_of({VERSION_MOST: bytes(32)}).rotated()


class TestUsageKey:
    @given(kind=st.sampled_from(list(UsageType)[1:]), usage_id=st.text("az:/é\U0001f511", min_size=1), key=KEYS)
    def test_is_the_hmac_that_the_storage_format_speaks_of(self, kind: UsageType, usage_id: str, key: bytes) -> None:
        keyring = Keyring(Domain.SHARED, UUID(int=1), {1: bytes(32)}, key, bytes(32))
        message = b"".join(len(part).to_bytes(4) + part for part in (kind.value.encode(), usage_id.encode()))
        expected = hmac.digest(key, message, "sha256")
        # Twice, as what is kept of the key must not take up what was hashed before.
        assert [keyring.usage_key(Usage(kind, usage_id)) for _ in range(2)] == [expected, expected]

    @given(
        st.sampled_from([kind for kind in UsageType if kind is not UsageType.NONE]),
        st.sampled_from([kind for kind in UsageType if kind is not UsageType.NONE]),
        st.text("ab/", min_size=1, max_size=3),
        st.text("ab/", min_size=1, max_size=3),
    )
    def test_is_equal_for_equal_usages_only(self, kind: UsageType, other: UsageType, one: str, two: str) -> None:
        keyring = fixed_keyring()
        keys = keyring.usage_key(Usage(kind, one)), keyring.usage_key(Usage(other, two))
        assert len(keys[0]) == 32
        assert (keys[0] == keys[1]) == ((kind, one) == (other, two))


class TestDigest:
    def test_changes_with_each_part(self) -> None:
        parts = [
            (UUID(int=1), 1, 1),
            (UUID(int=2), 1, 1),
            (UUID(int=1), 2, 1),
            (UUID(int=1), 1, 2),
            (UUID(int=1), 1, 0),
        ]
        digests = {fixed_keyring().digest(*part) for part in parts}
        assert len(digests) == len(parts)
        assert all(len(digest) == 32 and digest == digest.lower() for digest in digests)


class TestPayload:
    @given(st.dictionaries(st.integers(1, VERSION_MOST), KEYS, min_size=1, max_size=20), KEYS, KEYS)
    def test_what_is_written_is_read(self, keys: dict[int, bytes], index: bytes, digest: bytes) -> None:
        payload = Keyring(Domain.NODE, UUID(int=9), keys, index, digest).to_payload()
        read = Keyring.from_payload(Domain.NODE, UUID(int=9), payload)
        assert (read.domain, read.id, read.current) == (Domain.NODE, UUID(int=9), max(keys))
        assert read.to_payload() == payload

    @given(st.binary(max_size=300))
    def test_any_bytes_give_a_keyring_or_a_seal_error(self, payload: bytes) -> None:
        with pytest.raises(SealError):
            Keyring.from_payload(Domain.SHARED, UUID(int=1), payload)

    def test_no_flipped_bit_gives_the_same_keyring(self) -> None:
        payload = fixed_keyring().to_payload()
        for bit in range(len(payload) * 8):
            changed = bytearray(payload)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                keyring = Keyring.from_payload(Domain.SHARED, UUID(int=1), bytes(changed))
            except SecretdError:
                continue
            assert keyring.to_payload() == changed != payload


USES: dict[str, Callable[[Keyring], object]] = {
    "current": lambda keyring: keyring.current,
    "cipher": lambda keyring: keyring.cipher(1),
    "cipher-of-no-version": lambda keyring: keyring.cipher(7),
    "rotated": lambda keyring: keyring.rotated(),
    "usage-key": lambda keyring: keyring.usage_key(USAGE),
    "digest": lambda keyring: keyring.digest(UUID(int=1), 1, 1),
    "payload": lambda keyring: keyring.to_payload(),
    "seal": lambda keyring: seal(keyring, b"name", 1, b""),
    "open": lambda keyring: open_record({Domain.SHARED: keyring}, b"name", seal(fixed_keyring(), b"name", 1, b"")),
}


class TestWiped:
    @pytest.mark.parametrize("use", USES.values(), ids=USES)
    def test_refuses_every_use(self, use: Callable[[Keyring], object]) -> None:
        keyring = fixed_keyring()
        keyring.wipe()
        with pytest.raises(SealError, match="closed"):
            use(keyring)

    def test_overwrites_its_own_buffers(self) -> None:
        keyring = fixed_keyring().rotated()
        buffers = [keyring._index_key, keyring._digest_key, *keyring._keys.values()]
        assert len(buffers) == 4
        assert all(any(buffer) for buffer in buffers)
        keyring.wipe()
        assert buffers == [bytearray(32)] * 4
        assert not keyring._ciphers

    def test_may_be_wiped_again(self) -> None:
        keyring = fixed_keyring()
        keyring.wipe()
        keyring.wipe()
        assert repr(keyring) == "Keyring(shared, ...)"

    def test_a_cipher_in_use_does_not_go_on_under_a_key_of_zeros(self) -> None:
        keyring = fixed_keyring()
        cipher = keyring.cipher(1)
        keyring.wipe()
        zeros = keyring_of({1: bytes(32)}).cipher(1)
        assert cipher.encrypt(bytes(12), b"plain", b"") != zeros.encrypt(bytes(12), b"plain", b"")


class TestHidden:
    def test_shows_no_key(self, caplog: pytest.LogCaptureFixture) -> None:
        key = b"K" * 32
        keyring = Keyring(Domain.SHARED, UUID(int=1), {1: key}, key, key)
        logging.getLogger(__name__).warning("%s %r", keyring, keyring)
        assert "Keyring(shared, ...)" in caplog.text
        assert "KKKK" not in caplog.text

    @pytest.mark.parametrize("attempt", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
    def test_does_not_pickle_or_copy(self, attempt: Callable[[Keyring], object]) -> None:
        with pytest.raises(TypeError, match="never pickled"):
            attempt(fixed_keyring())
