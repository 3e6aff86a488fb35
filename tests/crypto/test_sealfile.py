from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.keyrings import CREDENTIAL_KEY, FILE_KEY, ROOT_KEY, SLOTS, fixed_keyring, new_seal_file
from secretd import limits
from secretd.crypto.keyring import Domain, Keyring
from secretd.crypto.sealfile import SealFile
from secretd.errors import SealError
from secretd.model import SlotKind

SEAL_FILE, KEYRING = new_seal_file()
DATA = SEAL_FILE.to_bytes()


def opens_in_every_way(data: bytes) -> bool:
    """Whether both slots lead to the root key, and it to the keyring that was sealed."""
    seal_file = SealFile.parse(data)
    roots = [seal_file.open_root(kind, key) for kind, key in SLOTS]
    return roots == [ROOT_KEY] * 2 and seal_file.open_keyring(ROOT_KEY).to_payload() == KEYRING.to_payload()


class TestCreated:
    def test_opens_by_each_slot(self) -> None:
        assert opens_in_every_way(DATA)

    def test_is_of_generation_1_and_has_the_keyrings_id(self) -> None:
        assert (SEAL_FILE.generation, SEAL_FILE.domain, SEAL_FILE.id) == (1, Domain.SHARED, KEYRING.id)

    def test_shows_no_key(self) -> None:
        for secret in (ROOT_KEY, FILE_KEY, CREDENTIAL_KEY, KEYRING.to_payload()):
            assert secret not in DATA
        assert "wrapped" not in repr(SEAL_FILE)

    def test_wants_a_slot(self) -> None:
        with pytest.raises(RuntimeError, match="without a slot"):
            SealFile.create(Domain.SHARED, ROOT_KEY, [])

    @pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
    def test_wants_keys_of_32_bytes(self, size: int) -> None:
        with pytest.raises(SealError, match="exactly 32"):
            SealFile.create(Domain.SHARED, bytes(size), SLOTS)
        with pytest.raises(SealError, match="exactly 32"):
            SealFile.create(Domain.SHARED, ROOT_KEY, [(SlotKind.LOCAL_FILE, bytes(size))])

    def test_both_domains_share_a_root_key_and_nothing_else(self) -> None:
        node, keyring = new_seal_file(Domain.NODE)
        assert node.open_root(SlotKind.LOCAL_FILE, FILE_KEY) == SEAL_FILE.open_root(SlotKind.LOCAL_FILE, FILE_KEY)
        assert node.id != SEAL_FILE.id
        assert keyring.to_payload() != KEYRING.to_payload()


class TestNextGeneration:
    def test_holds_the_new_keyring_and_keeps_the_slots(self) -> None:
        rotated = KEYRING.rotated()
        new = SEAL_FILE.with_keyring(rotated, ROOT_KEY)
        assert (new.generation, new.slots, new.id, new.domain) == (2, SEAL_FILE.slots, KEYRING.id, Domain.SHARED)
        assert SealFile.parse(new.to_bytes()).open_keyring(ROOT_KEY).to_payload() == rotated.to_payload()
        assert new.open_root(SlotKind.CREDENTIAL, CREDENTIAL_KEY) == ROOT_KEY

    def test_wants_the_root_key_that_the_slots_lead_to(self) -> None:
        with pytest.raises(SealError, match="does not open"):
            SEAL_FILE.with_keyring(KEYRING.rotated(), bytes(32))

    @pytest.mark.parametrize("domain", Domain)
    def test_wants_its_own_keyring(self, domain: Domain) -> None:
        with pytest.raises(RuntimeError, match="another seal file"):
            SEAL_FILE.with_keyring(fixed_keyring(domain), ROOT_KEY)

    def test_refuses_a_wiped_keyring(self) -> None:
        seal_file, keyring = new_seal_file()
        keyring.wipe()
        with pytest.raises(SealError, match="closed"):
            seal_file.with_keyring(keyring, ROOT_KEY)

    def test_ends_where_a_reader_would_refuse_it(self) -> None:
        keys = {version: bytes(32) for version in range(1, 5_000)}
        full = Keyring(Domain.SHARED, KEYRING.id, keys, bytes(32), bytes(32))
        with pytest.raises(SealError, match="no room"):
            SEAL_FILE.with_keyring(full, ROOT_KEY).to_bytes()

    def test_a_thousand_versions_fit(self) -> None:
        keys = {version: bytes(32) for version in range(1, 1_002)}
        many = Keyring(Domain.SHARED, KEYRING.id, keys, bytes(32), bytes(32))
        data = SEAL_FILE.with_keyring(many, ROOT_KEY).to_bytes()
        assert len(data) < limits.KEYRING_BYTES
        assert SealFile.parse(data).open_keyring(ROOT_KEY).current == 1_001


class TestWrongKeys:
    def test_another_root_key(self) -> None:
        with pytest.raises(SealError, match="this root key does not open the keyring"):
            SEAL_FILE.open_keyring(bytes(32))

    @pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
    def test_a_root_key_of_another_size(self, size: int) -> None:
        with pytest.raises(SealError, match="exactly 32"):
            SEAL_FILE.open_keyring(ROOT_KEY[:size] + bytes(max(0, size - 32)))

    @pytest.mark.parametrize(
        ("kind", "key", "says"),
        [
            pytest.param(SlotKind.LOCAL_FILE, bytes(32), "the root key file does not open", id="file-of-another"),
            pytest.param(
                SlotKind.CREDENTIAL, bytes(32), "the root key credential does not", id="credential-of-another"
            ),
            pytest.param(SlotKind.LOCAL_FILE, CREDENTIAL_KEY, "the root key file does not open", id="other-slots-key"),
            pytest.param(SlotKind.LOCAL_FILE, ROOT_KEY, "the root key file does not open", id="root-key-itself"),
        ],
    )
    def test_another_slot_key(self, kind: SlotKind, key: bytes, says: str) -> None:
        with pytest.raises(SealError, match=says):
            SEAL_FILE.open_root(kind, key)

    def test_a_slot_that_is_not_there(self) -> None:
        one, _ = SealFile.create(Domain.SHARED, ROOT_KEY, SLOTS[:1])
        with pytest.raises(SealError, match="no slot for the root key credential"):
            one.open_root(SlotKind.CREDENTIAL, CREDENTIAL_KEY)


class TestChanged:
    @pytest.mark.parametrize("offset", range(len(DATA)))
    def test_no_flipped_bit_opens_in_every_way(self, offset: int) -> None:
        for bit in range(8):
            changed = bytearray(DATA)
            changed[offset] ^= 1 << bit
            with pytest.raises(SealError):
                opens_in_every_way(bytes(changed))

    def test_no_truncation_parses(self) -> None:
        for length in range(len(DATA)):
            with pytest.raises(SealError):
                SealFile.parse(DATA[:length])

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(replace(SEAL_FILE, domain=Domain.NODE), id="domain"),
            pytest.param(replace(SEAL_FILE, generation=2), id="generation"),
            pytest.param(replace(SEAL_FILE, id=UUID(int=7)), id="id"),
            pytest.param(replace(SEAL_FILE, keyring=new_seal_file()[0].keyring), id="keyring-of-another"),
            pytest.param(replace(SEAL_FILE, keyring=new_seal_file(Domain.NODE)[0].keyring), id="keyring-of-the-node"),
        ],
    )
    def test_a_relabelled_keyring_does_not_open(self, changed: SealFile) -> None:
        with pytest.raises(SealError, match="root key does not open"):
            SealFile.parse(changed.to_bytes()).open_keyring(ROOT_KEY)

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(replace(SEAL_FILE, id=UUID(int=7)), id="file-id"),
            pytest.param(replace(SEAL_FILE, slots=(replace(SEAL_FILE.slots[0], id=UUID(int=7)),)), id="slot-id"),
            pytest.param(replace(SEAL_FILE, slots=new_seal_file()[0].slots), id="slots-of-another"),
        ],
    )
    def test_a_relabelled_slot_does_not_open(self, changed: SealFile) -> None:
        with pytest.raises(SealError, match="does not open this keyring"):
            SealFile.parse(changed.to_bytes()).open_root(SlotKind.LOCAL_FILE, FILE_KEY)

    def test_a_slots_kind_is_bound_even_under_one_key(self) -> None:
        seal_file, _ = SealFile.create(Domain.SHARED, ROOT_KEY, [(SlotKind.LOCAL_FILE, FILE_KEY)])
        changed = replace(seal_file, slots=(replace(seal_file.slots[0], kind=SlotKind.CREDENTIAL),))
        with pytest.raises(SealError, match="does not open this keyring"):
            changed.open_root(SlotKind.CREDENTIAL, FILE_KEY)


class TestParsed:
    @given(
        st.sampled_from(Domain),
        st.lists(st.tuples(st.sampled_from(SlotKind), st.binary(min_size=32, max_size=32)), min_size=1, max_size=4),
        st.binary(min_size=32, max_size=32),
    )
    def test_what_is_created_is_read(self, domain: Domain, slots: list[tuple[SlotKind, bytes]], root: bytes) -> None:
        seal_file, keyring = SealFile.create(domain, root, slots)
        read = SealFile.parse(seal_file.to_bytes())
        assert read == seal_file
        assert all(read.open_root(kind, key) == root for kind, key in slots)
        assert read.open_keyring(root).to_payload() == keyring.to_payload()

    @given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda more: DATA[:60] + more + DATA[60:]))
    def test_any_bytes_give_a_seal_file_or_a_seal_error(self, data: bytes) -> None:
        try:
            seal_file = SealFile.parse(data)
        except SealError:
            return
        assert seal_file.to_bytes() == data
