"""The seal: first start, restart, every way a root key can be wrong, and the copies of the keyring."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest

from helpers.core import Core, in_core, make_seal
from secretd import operations as ops
from secretd.core.sealing import Seal
from secretd.errors import SealError
from secretd.model import SealState, SecretValue, SlotKind
from secretd.store.base import Delete, Store
from secretd.store.registry import open_store

SECRET = UUID("11111111-2222-4333-8444-555555555555")
KEY_FILE = Path("config/root.key")


def snapshot(root: Path) -> dict[str, bytes]:
    """Give all files below ``root`` but SQLite's passing ones."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def with_store(root: Path, test: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await open_store(f"sqlite://{root / 'store'}")
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(run())


async def keep_a_secret(core: Core) -> None:
    await core.call(ops.SetValue(SECRET, SecretValue(b"kept")))


async def find_the_secret(core: Core) -> None:
    assert (await core.call(ops.GetValue(SECRET))).value.reveal() == b"kept"


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Make a place where a daemon has been, and kept a secret."""
    in_core(tmp_path, keep_a_secret)
    return tmp_path


class TestFirstStart:
    def test_it_makes_a_key_file_only_the_owner_can_read(self, used: Path) -> None:
        status = (used / KEY_FILE).stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_size == 32
        assert (used / "config").stat().st_mode & 0o777 == 0o700
        for copy in ("shared", "node", "node.copy"):
            assert (used / "keyring" / copy).stat().st_mode & 0o777 == 0o600

    def test_the_key_is_nowhere_else(self, used: Path) -> None:
        key = (used / KEY_FILE).read_bytes()
        assert all(key not in data for name, data in snapshot(used).items() if name != str(KEY_FILE))

    def test_a_broken_link_is_no_missing_key_file(self, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir(mode=0o700)
        (tmp_path / KEY_FILE).symlink_to("nowhere")

        async def test(core: Core) -> None:
            assert "symbolic link" in (core.seal.status.reason or "")

        in_core(tmp_path, test)
        assert not (tmp_path / "config" / "nowhere").exists()

    def test_a_key_file_that_is_there_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir(mode=0o700)
        (tmp_path / KEY_FILE).write_bytes(b"k" * 32)
        (tmp_path / KEY_FILE).chmod(0o600)
        in_core(tmp_path, keep_a_secret)
        assert (tmp_path / KEY_FILE).read_bytes() == b"k" * 32
        in_core(tmp_path, find_the_secret)

    def test_no_key_is_made_where_others_could_put_one(self, tmp_path: Path) -> None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config").chmod(0o777)

        async def test(core: Core) -> None:
            with pytest.raises(SealError, match="written by group or others"):
                await core.call(ops.Whoami())

        in_core(tmp_path, test)
        assert not (tmp_path / KEY_FILE).exists()
        assert not (tmp_path / "keyring").exists()

    def test_a_credential_is_preferred_and_no_file_is_made(self, tmp_path: Path) -> None:
        make_credential(tmp_path)

        async def test(store: Store) -> None:
            seal = make_seal(tmp_path, store, SlotKind.CREDENTIAL, SlotKind.LOCAL_FILE)
            assert (await seal.open()).slots == (SlotKind.CREDENTIAL,)
            again = make_seal(tmp_path, store, SlotKind.LOCAL_FILE, SlotKind.CREDENTIAL)
            assert (await again.open()).state is SealState.OPEN

        with_store(tmp_path, test)
        assert not (tmp_path / KEY_FILE).exists()

    def test_without_the_credential_it_stays_sealed(self, tmp_path: Path) -> None:
        async def test(store: Store) -> None:
            status = await make_seal(tmp_path, store, SlotKind.CREDENTIAL).open()
            assert status.state is SealState.SEALED
            assert "credential" in (status.reason or "")
            assert await store.revision() == 0

        with_store(tmp_path, test)


def make_credential(root: Path) -> None:
    (root / "credentials").mkdir(mode=0o700)
    credential = root / "credentials" / "secretd.root-key"
    credential.write_bytes(os.urandom(32))
    credential.chmod(0o400)


def _missing(key: Path) -> None:
    key.unlink()


def _wrong(key: Path) -> None:
    key.write_bytes(b"w" * 32)


def _short(key: Path) -> None:
    key.write_bytes(b"w" * 31)


def _long(key: Path) -> None:
    key.write_bytes(b"w" * 33)


def _empty(key: Path) -> None:
    key.write_bytes(b"")


def _readable_by_others(key: Path) -> None:
    key.chmod(0o644)


def _writable_by_group(key: Path) -> None:
    key.chmod(0o620)


def _directory_writable_by_others(key: Path) -> None:
    key.parent.chmod(0o777)


def _a_link(key: Path) -> None:
    key.rename(key.with_name("elsewhere"))
    key.symlink_to("elsewhere")


def _a_directory(key: Path) -> None:
    key.unlink()
    key.mkdir()


def _a_fifo(key: Path) -> None:
    key.unlink()
    os.mkfifo(key, 0o600)


WRONG_KEYS = [
    pytest.param(_missing, "missing", id="missing"),
    pytest.param(_wrong, "does not open", id="wrong"),
    pytest.param(_short, "exactly 32 bytes", id="short"),
    pytest.param(_long, "exactly 32 bytes", id="long"),
    pytest.param(_empty, "exactly 32 bytes", id="empty"),
    pytest.param(_readable_by_others, "0600", id="readable-by-others"),
    pytest.param(_writable_by_group, "written by group or others", id="writable-by-group"),
    pytest.param(_directory_writable_by_others, "written by group or others", id="directory-writable-by-others"),
    pytest.param(_a_link, "symbolic link", id="a-link"),
    pytest.param(_a_directory, "regular file", id="a-directory"),
    pytest.param(_a_fifo, "regular file", id="a-fifo"),
]


class TestWrongKeys:
    @pytest.mark.parametrize(("spoil", "words"), WRONG_KEYS)
    def test_sealed_nothing_touched_and_says_what_to_do(
        self, used: Path, spoil: Callable[[Path], None], words: str
    ) -> None:
        spoil(used / KEY_FILE)
        before = snapshot(used)

        async def test(core: Core) -> None:
            status = await core.call(ops.Status())
            assert status.state is SealState.SEALED
            assert words in (status.reason or "")
            assert str(used) not in (status.reason or "")
            for request in (ops.GetValue(SECRET), ops.AllocateId(), ops.Whoami(), ops.List()):
                with pytest.raises(SealError, match=words):
                    await core.call(request)

        in_core(used, test)
        assert snapshot(used) == before

    def test_it_opens_once_the_key_is_mended(self, used: Path) -> None:
        key = (used / KEY_FILE).read_bytes()
        (used / KEY_FILE).write_bytes(b"w" * 32)

        async def test(core: Core) -> None:
            assert core.seal.status.state is SealState.SEALED
            (used / KEY_FILE).write_bytes(key)
            assert (await core.seal.open()).state is SealState.OPEN
            await find_the_secret(core)

        in_core(used, test)

    def test_a_slot_the_configuration_does_not_name_is_not_tried(self, used: Path) -> None:
        async def test(store: Store) -> None:
            make_credential(used)
            status = await make_seal(used, store, SlotKind.CREDENTIAL).open()
            assert status.state is SealState.SEALED
            assert "local-file" in (status.reason or "")

        with_store(used, test)


class TestCopies:
    @pytest.mark.parametrize("lost", ["shared", "node", "node.copy"])
    @pytest.mark.parametrize("how", ["missing", "cut", "empty", "too-long", "a-fifo"])
    def test_one_lost_copy_is_made_again(self, used: Path, lost: str, how: str) -> None:
        path = used / "keyring" / lost
        whole = path.read_bytes()
        path.unlink()
        if how == "a-fifo":
            os.mkfifo(path)
        elif how != "missing":
            path.write_bytes({"cut": whole[:-1], "empty": b"", "too-long": whole * 1_000}[how])
        in_core(used, find_the_secret)
        assert path.read_bytes() == whole

    @pytest.mark.parametrize("lost", ["shared", "node", "node.copy"])
    def test_a_copy_that_cannot_be_made_again_harms_nobody(
        self, used: Path, lost: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (used / "keyring" / lost).unlink()
        (used / "keyring" / lost).mkdir()
        in_core(used, find_the_secret)
        assert "a copy of the keyring is not up to date" in caplog.messages

    def test_both_copies_of_the_nodes_keyring_lost(self, used: Path) -> None:
        for name in ("node", "node.copy"):
            (used / "keyring" / name).unlink()
        self.assert_sealed(used, "its keyring is gone")

    def test_both_copies_damaged(self, used: Path) -> None:
        for name in ("node", "node.copy"):
            (used / "keyring" / name).write_bytes(b"{}")
        self.assert_sealed(used, "")

    @pytest.mark.parametrize("forged", ["shared", "node", "node.copy"])
    def test_a_forged_copy_that_claims_to_be_newer(self, used: Path, forged: str) -> None:
        """A generation is not proved until the keyring opens, so a higher one alone must not win."""
        path = used / "keyring" / forged
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b'"generation":1,', b'"generation":9,'))
        assert path.read_bytes() != whole
        in_core(used, find_the_secret)
        assert path.read_bytes() == whole

    def test_the_copies_of_two_domains_swapped(self, used: Path) -> None:
        node = (used / "keyring" / "node").read_bytes()
        shared = (used / "keyring" / "shared").read_bytes()
        for name in ("node", "node.copy"):
            (used / "keyring" / name).write_bytes(shared)
        (used / "keyring" / "shared").write_bytes(node)
        self.assert_sealed(used, "another domain")

    def test_a_keyring_is_never_made_for_a_store_with_records(self, used: Path) -> None:
        for path in (used / "keyring").iterdir():
            path.unlink()

        async def remove_the_stores_copy(store: Store) -> None:
            await store.commit([Delete(b"k")], [])

        with_store(used, remove_the_stores_copy)
        self.assert_sealed(used, "its keyring is gone")

    def test_a_first_start_cut_short_goes_on(self, tmp_path: Path) -> None:
        """After each file that a first start writes, as if it had been killed there."""
        in_core(tmp_path / "whole", keep_a_secret)
        key = (tmp_path / "whole" / KEY_FILE).read_bytes()
        files = {name: (tmp_path / "whole" / "keyring" / name).read_bytes() for name in ("node.copy", "node")}
        for count in range(len(files) + 1):
            root = tmp_path / str(count)
            (root / "config").mkdir(parents=True, mode=0o700)
            (root / KEY_FILE).write_bytes(key)
            (root / KEY_FILE).chmod(0o600)
            (root / "keyring").mkdir()
            for name in list(files)[:count]:
                (root / "keyring" / name).write_bytes(files[name])
            in_core(root, keep_a_secret)
            in_core(root, find_the_secret)

    def test_a_first_start_cut_short_before_the_last_file(self, used: Path) -> None:
        (used / "keyring" / "shared").unlink()
        in_core(used, find_the_secret)
        assert (used / "keyring" / "shared").exists()

    def test_a_lost_store_is_not_taken_for_a_first_start(self, used: Path) -> None:
        for path in (used / "store").iterdir():
            path.unlink()
        in_core(used, self.assert_lost)
        in_core(used, self.assert_lost)

    async def assert_lost(self, core: Core) -> None:
        assert core.seal.status.state is SealState.SEALED
        assert "a store that is not there" in (core.seal.status.reason or "")

    def test_what_a_cut_off_write_of_the_key_left_is_removed(self, used: Path) -> None:
        left = used / "config" / f".root.key.{'0' * 16}.new"
        left.write_bytes((used / KEY_FILE).read_bytes())
        in_core(used, find_the_secret)
        assert not left.exists()

    def assert_sealed(self, root: Path, words: str) -> None:
        before = snapshot(root)

        async def test(core: Core) -> None:
            assert core.seal.status.state is SealState.SEALED
            assert words in (core.seal.status.reason or "")

        in_core(root, test)
        assert snapshot(root) == before


def test_a_wiped_seal_gives_no_keyring(tmp_path: Path) -> None:
    async def test(core: Core) -> None:
        core.seal.wipe()
        with pytest.raises(SealError):
            await core.call(ops.GetValue(SECRET))

    in_core(tmp_path, test)


def test_a_seal_is_sealed_before_it_is_opened(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        seal: Seal = make_seal(tmp_path, store)
        assert seal.status.state is SealState.SEALED
        with pytest.raises(SealError):
            seal.require_open()

    with_store(tmp_path, test)
