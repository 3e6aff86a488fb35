"""Where the client looks for the daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secretd.addresses import default_mode
from secretd.client.address import socket_path
from secretd.errors import ConfigError
from secretd.model import Mode


@pytest.mark.parametrize(
    ("mode", "read_only", "path"),
    [
        pytest.param(Mode.SYSTEM, False, "/run/secretd/secretd-sock", id="system"),
        pytest.param(Mode.SYSTEM, True, "/run/secretd/secretd-sock-ro", id="system-read-only"),
        pytest.param(Mode.SESSION, False, "/somewhere/secretd/secretd-sock", id="session"),
        pytest.param(Mode.SESSION, True, "/somewhere/secretd/secretd-sock-ro", id="session-read-only"),
    ],
)
def test_paths(mode: Mode, read_only: bool, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/somewhere")
    assert socket_path(mode, read_only=read_only) == Path(path)


def test_the_environment_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for directory in ("/one", "/two"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", directory)
        assert socket_path(Mode.SESSION) == Path(directory, "secretd", "secretd-sock")


@pytest.mark.parametrize("value", [None, "", "somewhere/relative"], ids=["unset", "empty", "relative"])
def test_a_session_without_a_runtime_directory(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    with pytest.raises(ConfigError, match=r"XDG_RUNTIME_DIR is not .*, so there is no place for a session's socket"):
        socket_path(Mode.SESSION)
    assert socket_path(Mode.SYSTEM).is_absolute()


@pytest.mark.parametrize(("uid", "mode"), [(0, Mode.SYSTEM), (1000, Mode.SESSION)], ids=["root", "a-user"])
def test_the_default(uid: int, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert default_mode() is mode
