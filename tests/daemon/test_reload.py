"""SIGHUP: what of the configuration is read again, what waits for a restart, and what a bad one changes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.asynchronous import run
from helpers.core import open_core
from helpers.daemon import RunningDaemon
from helpers.tree import ROOT
from secretd import operations as ops
from secretd.client import Client
from secretd.core.quota import Amount
from secretd.daemon.config import SETTINGS, Config, differing, load, reloaded
from secretd.errors import QuotaError
from secretd.model import Caller, Mode, SecretValue

SECRET = UUID("11111111-2222-4333-8444-555555555555")
RELOADED = {"daemon.log-level", "quota.secrets", "quota.bytes", "keys.kdf-memory", "keys.kdf-iterations"}

OTHER = """
[daemon]
runtime-directory = "/other"
log-level = "debug"
[store]
url = "sqlite:///other"
[seal]
slots = ["local-file"]
root-key-directory = "/other"
keyring-directory = "/other"
[quota]
secrets = 1
bytes = 2
[keys]
kdf-memory = 3
kdf-iterations = 4
[libvirt]
sockets = "off"
"""


def reload(daemon: RunningDaemon, text: str, event: str) -> dict[str, Any]:
    """Give the daemon another configuration; give what it says of it."""
    (daemon.config / "secretd.toml").write_text(text)
    daemon.process.send_signal(signal.SIGHUP)
    return daemon.wait_for_event(event)


def test_the_log_level_is_another(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, SecretValue(b"a")))
        line = reload(daemon, "[daemon]\nlog-level = 'debug'", "configuration read again")
        assert line["changed"] == ["daemon.log-level"]
        client.call(ops.GetValue(SECRET))
        daemon.stop()
        assert [line["operation"] for line in daemon.log if line["event"] == "operation"] == ["get-value"]


def test_what_needs_a_restart_is_named_each_time_and_not_changed(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        client.call(ops.SetValue(SECRET, SecretValue(b"a")))
        for _ in range(2):
            line = reload(daemon, OTHER, "settings were changed that need a restart")
            assert set(line["settings"]) == set(SETTINGS) - RELOADED
        assert client.call(ops.GetValue(SECRET)).value == SecretValue(b"a")
        daemon.stop()
        changed = [set(line["changed"]) for line in daemon.log if line["event"] == "configuration read again"]
        assert changed == [RELOADED, set()]
        assert not daemon.socket.exists()


@pytest.mark.parametrize(
    "bad", ["[daemon]\nlog-level = 'loud'", "[store]\nurl = 'banana://x'\n[quota]\nsecrets = 1", "no"]
)
def test_a_bad_one_changes_nothing(tmp_path: Path, bad: str) -> None:
    with RunningDaemon(tmp_path) as daemon, Client(daemon.socket) as client:
        reload(daemon, "[daemon]\nlog-level = 'debug'", "configuration read again")
        line = reload(daemon, bad, "the new configuration cannot be used, the old one stays")
        assert str(daemon.config / "secretd.toml") in line["reason"]
        client.call(ops.SetValue(SECRET, SecretValue(b"a")))
        line = reload(daemon, "[daemon]\nlog-level = 'debug'", "configuration read again")
        assert line["changed"] == []
        daemon.stop()
        assert [line["operation"] for line in daemon.log if line["event"] == "operation"] == ["set-value"]


def test_a_file_that_others_can_write_is_not_read(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path) as daemon:
        (daemon.config / "secretd.toml").touch()
        (daemon.config / "secretd.toml").chmod(0o666)
        line = reload(daemon, "", "the new configuration cannot be used, the old one stays")
        assert "can be written by others" in line["reason"]


def test_the_option_still_goes_before_the_file(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, ("--session", "--runtime-dir", str(tmp_path / "run" / "secretd"))) as daemon:
        line = reload(daemon, "[daemon]\nruntime-directory = '/other'\nlog-level = 'info'", "configuration read again")
        assert line["changed"] == []
        daemon.stop()
        assert "settings were changed that need a restart" not in {line["event"] for line in daemon.log}


def test_a_quota_holds_from_then_on(tmp_path: Path) -> None:
    async def work() -> None:
        caller = Caller(uid=1_000, gid=1_000, pid=1)
        async with open_core(tmp_path, lambda *_: True) as core:
            await core.service.call(caller, ops.AllocateId())
            core.service.set_quota(Amount(1, 1_000_000))
            with pytest.raises(QuotaError):
                await core.service.call(caller, ops.AllocateId())
            core.service.set_quota(Amount(2, 1_000_000))
            await core.service.call(caller, ops.AllocateId())

    run(work())


def configuration(root: Path, text: str) -> Config:
    path = root / "secretd.toml"
    path.write_text(text)
    return load(Mode.SYSTEM, path)


def test_the_page_says_which_are_read_again(tmp_path: Path) -> None:
    default = configuration(tmp_path, "")
    new = configuration(tmp_path, OTHER)
    assert differing(default, new) == list(SETTINGS)
    assert set(differing(default, reloaded(default, new))) == RELOADED
    page = (ROOT / "docs" / "configuration.md").read_text()
    (sentence,) = [line for line in page.split("\n\n") if "SIGHUP" in line]
    assert {f"`{name}`" in sentence for name in RELOADED} == {True}
    assert not [name for name in set(SETTINGS) - RELOADED if f"`{name}`" in sentence]
