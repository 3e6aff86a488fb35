"""The configuration file: what it may say, and what it is told when it says something else."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from xdg import BaseDirectory

from helpers.asynchronous import run
from helpers.daemon import DEADLINE_S, session_environment
from secretd import limits
from secretd.addresses import LibvirtPlace
from secretd.daemon.config import SETTINGS, load
from secretd.errors import ConfigError
from secretd.model import Mode, SlotKind
from secretd.store.registry import check_url, open_store

FULL = """
[daemon]
runtime-directory = "/run/elsewhere"
log-level = "debug"

[store]
url = "sqlite:///srv/store"

[seal]
slots = ["local-file"]
root-key-directory = "/etc/elsewhere"
keyring-directory = "/srv/keyring"

[quota]
secrets = 5
bytes = 1_000

[keys]
kdf-memory = 1_073_741_824
kdf-iterations = 2_147_483_647

[libvirt]
sockets = "off"
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "secretd.toml"
    path.write_text(text)
    return path


def test_a_full_file(tmp_path: Path) -> None:
    config = load(Mode.SYSTEM, write(tmp_path, FULL))
    assert config.runtime == Path("/run/elsewhere")
    assert config.log_level == logging.DEBUG
    assert config.store_url == "sqlite:///srv/store"
    assert config.slots == (SlotKind.LOCAL_FILE,)
    assert config.root_key_directory == Path("/etc/elsewhere")
    assert config.keyring_directory == Path("/srv/keyring")
    assert (config.quota_secrets, config.quota_bytes) == (5, 1_000)
    assert (config.kdf_memory, config.kdf_iterations) == (1_073_741_824, 2_147_483_647)
    assert config.libvirt_sockets is LibvirtPlace.OFF


def test_an_empty_file_leaves_the_defaults(tmp_path: Path) -> None:
    config = load(Mode.SYSTEM, write(tmp_path, ""))
    assert config.store_url == "sqlite:///var/lib/secretd/store"
    assert config.runtime == Path("/run/secretd")
    assert config.slots == (SlotKind.CREDENTIAL, SlotKind.LOCAL_FILE)
    assert (config.quota_secrets, config.quota_bytes) == (limits.QUOTA_SECRETS, limits.QUOTA_BYTES)
    assert (config.kdf_memory, config.kdf_iterations) == (limits.KDF_MEMORY_BYTES, limits.KDF_ITERATIONS)
    assert config.libvirt_sockets is LibvirtPlace.OWN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("[daemon]\nlog-lvel = 'info'", ["log-lvel", "[daemon]", "log-level"], id="unknown-key"),
        pytest.param("[deamon]\n", [], id="unknown-empty-section"),
        pytest.param("[deamon]\nlog-level = 'info'", ["[deamon]", "[daemon]"], id="unknown-section"),
        pytest.param("log-level = 'info'", ["log-level"], id="outside-a-section"),
        pytest.param("[daemon]\nlog-level = 'loud'", ["daemon.log-level", "debug"], id="bad-choice"),
        pytest.param("[daemon]\nlog-level = 3", ["daemon.log-level"], id="a-number"),
        pytest.param("[daemon]\nruntime-directory = 'run'", ["daemon.runtime-directory", "absolute"], id="relative"),
        pytest.param("[store]\nurl = ''", ["store.url"], id="empty-text"),
        pytest.param("[quota]\nsecrets = '5'", ["quota.secrets", "number"], id="a-text"),
        pytest.param("[quota]\nbytes = -1", ["quota.bytes", "negative"], id="negative"),
        pytest.param("[keys]\nkdf-memory = 1073741825", ["keys.kdf-memory", "at most"], id="more-than-anybody-takes"),
        pytest.param("[keys]\nkdf-iterations = 2147483648", ["keys.kdf-iterations", "at most"], id="too-many"),
        pytest.param("[keys]\nkdf-iterations = 1e6", ["keys.kdf-iterations", "number"], id="no-whole-number"),
        pytest.param("[quota]\nbytes = true", ["quota.bytes", "number"], id="no-number"),
        pytest.param("[quota]\nbytes = 9223372036854775808", ["quota.bytes", "number"], id="too-large"),
        pytest.param("[seal]\nslots = []", ["seal.slots"], id="no-slot"),
        pytest.param("[seal]\nslots = ['tpm']", ["seal.slots", "local-file"], id="unknown-slot"),
        pytest.param("[seal]\nslots = 'local-file'", ["seal.slots"], id="no-list"),
        pytest.param("[seal]\nslots = [1]", ["seal.slots"], id="not-texts"),
        pytest.param("[seal]\nslots = [['a']]", ["seal.slots"], id="nested-list"),
        pytest.param("[store]\nurl = 'banana://x'", ["store.url", "banana", "sqlite"], id="unknown-store"),
        pytest.param("[store]\nurl = 'sqlite://relative'", ["store.url", "absolute"], id="relative-store"),
        pytest.param("[store]\nurl = 'sqlite'", ["store.url", "URL"], id="no-url"),
        pytest.param("[libvirt]\nsockets = 'on'", ["libvirt.sockets", "own, libvirt, off"], id="unknown-place"),
        pytest.param("[libvirt]\nsockets = true", ["libvirt.sockets", "own, libvirt, off"], id="no-place"),
        pytest.param("x = " + "[" * 5_000, ["TOML"], id="too-deep"),
        pytest.param("x = " + "1" * 6_000, ["TOML"], id="a-number-too-long"),
        pytest.param('[daemon]\nruntime-directory = "/a\\u0000"', ["daemon.runtime-directory"], id="a-nul"),
        pytest.param("[daemon\n", ["TOML", "line 1"], id="no-toml"),
        pytest.param("# " + "x" * limits.CONFIG_BYTES, [str(int(limits.CONFIG_BYTES))], id="too-long"),
    ],
)
def test_what_it_may_not_say(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        load(Mode.SESSION, write(tmp_path, text))
    for word in (*words, str(tmp_path / "secretd.toml")):
        assert word in raised.value.message


@pytest.mark.parametrize("name", ["a b", "a%20b", "a#b", "a?b", "ä"])
def test_any_data_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A store is named by a URL, in which some characters of a path have a meaning of their own."""
    monkeypatch.setattr(BaseDirectory, "xdg_data_home", str(tmp_path / name))
    check_url(load(Mode.SESSION, write(tmp_path, "")).store_url)
    run(self_closing(load(Mode.SESSION, write(tmp_path, "")).store_url))
    assert (tmp_path / name / "secretd" / "store").is_dir()


async def self_closing(url: str) -> None:
    await (await open_store(url)).close()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path, "")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by others"):
        load(Mode.SYSTEM, path)


def test_check_config_knows_how_long_a_socket_path_may_be(tmp_path: Path) -> None:
    status, text = check(tmp_path, "--runtime-dir", str(tmp_path / ("x" * 100)))
    assert status == 2
    assert "107 bytes" in text


def test_check_config_knows_that_the_libvirt_sockets_have_longer_names(tmp_path: Path) -> None:
    directory = tmp_path / ("x" * (int(limits.SOCKET_PATH_BYTES) - len(f"{tmp_path}//secretd-sock-ro")))
    status, text = check(tmp_path, "--runtime-dir", str(directory))
    assert (status, "virtsecretd-sock" in text) == (2, True)
    without = write(tmp_path, "[libvirt]\nsockets = 'off'")
    assert check(tmp_path, "--runtime-dir", str(directory), "--config", str(without))[0] == 0


def test_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "secretd.toml"
    path.write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(Mode.SESSION, path)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(Mode.SESSION, tmp_path / "none.toml")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Mode.SESSION, tmp_path)


def check(root: Path, *arguments: str) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, "-P", "-m", "secretd", "--session", "--check-config", *arguments],
        env=session_environment(root),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr


def test_check_config_says_valid_and_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "config" / "secretd" / "secretd.toml"
    assert check(tmp_path) == (0, f"{file}: the configuration is valid\n")
    assert list((tmp_path / "run").iterdir()) == []
    assert list((tmp_path / "data").iterdir()) == []


def test_check_config_names_an_unknown_key(tmp_path: Path) -> None:
    path = write(tmp_path, "[store]\nulr = 'x'")
    status, text = check(tmp_path, "--config", str(path))
    assert status == 2
    assert "'ulr'" in text


def test_the_page_lists_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    listed = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", page, re.MULTILINE)
    assert tuple(listed) == SETTINGS
