"""What of a line is kept, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdg import BaseDirectory

from secretd.cli.history import History, harmless_part
from secretd.cli.main import secretctl

ID = "6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40"
DIGEST = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(BaseDirectory, "xdg_state_home", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.xml").write_text("")
    return tmp_path / "state" / "secretd" / "secretctl-history"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        pytest.param("status", "status", id="a-command"),
        pytest.param("secret-list --long --usage-type tls --json", None, id="flags-and-a-choice"),
        pytest.param(f"secret-get-value {ID} --plain", None, id="an-id"),
        pytest.param(f"secret-undefine {ID} --digest {DIGEST}", None, id="a-digest"),
        pytest.param(f"secret-generate-value {ID} --length 24 --preset hex", None, id="a-number-and-a-choice"),
        pytest.param("secret-define secret.xml", None, id="a-file"),
        pytest.param(f"key-rotate {ID}", None, id="an-id-of-a-key"),
        pytest.param("key-rotate nightly", "key-rotate", id="a-name-of-a-key"),
        pytest.param(
            "key-import secret.xml --password-file secret.xml --password-fd 3", None, id="where-a-password-is"
        ),
        pytest.param("encrypt secret.xml --context a=b", "encrypt secret.xml --context", id="a-context"),
        pytest.param("secret-define -", None, id="standard-input"),
        pytest.param("status --connect secret.xml", None, id="a-socket"),
        pytest.param("help secret-list", "help", id="what-help-is-for-is-any-word"),
        pytest.param("", "", id="nothing"),
        pytest.param("canary", "", id="no-command"),
        pytest.param("--json status", "", id="an-option-first"),
        pytest.param(f"secret-set-value {ID} canary", f"secret-set-value {ID}", id="a-value-as-in-virsh"),
        pytest.param(f"secret-set-value {ID} secret.xml", f"secret-set-value {ID}", id="even-if-there-is-such-a-file"),
        pytest.param("secret-set-value canary", "secret-set-value", id="a-value-in-place-of-an-id"),
        pytest.param(f"secret-get-value {DIGEST}", "secret-get-value", id="a-key-in-hex-in-place-of-an-id"),
        pytest.param(f"secret-set-value {ID} --file canary", f"secret-set-value {ID} --file", id="no-such-file"),
        pytest.param(f"secret-set-value {ID} --base64 x", f"secret-set-value {ID} --base64", id="a-value-by-option"),
        pytest.param(f"secret-set-value {ID} --base64=x", f"secret-set-value {ID}", id="a-value-joined-to-its-option"),
        pytest.param(
            "secret-allocate --description d --ephemeral", "secret-allocate --description", id="a-description"
        ),
        pytest.param("secret-lookup volume /disk", "secret-lookup volume", id="a-usage"),
        pytest.param("explain get-value ceph canary --as user:x", "explain get-value", id="what-is-explained"),
        pytest.param("secret-lookup canary", "secret-lookup", id="no-choice"),
        pytest.param(f"secret-generate-value {ID} --alphabet ab", f"secret-generate-value {ID} --alphabet", id="text"),
        pytest.param(f"secret-generate-value {ID} --length ab", f"secret-generate-value {ID} --length", id="no-number"),
    ],
)
def test_a_line_is_kept_up_to_what_could_be_secret(line: str, kept: str | None) -> None:
    assert harmless_part(secretctl, line.split()) == (line if kept is None else kept)


def test_a_kept_line_can_be_typed_again(tmp_path: Path) -> None:
    (tmp_path / "my secret.xml").write_text("")

    assert harmless_part(secretctl, ["secret-define", "my secret.xml"]) == "secret-define 'my secret.xml'"


@pytest.mark.parametrize("command", secretctl.commands)
def test_no_command_lets_a_word_of_no_kind_through(command: str) -> None:
    params = secretctl.commands[command].params
    options = {name for param in params for name in param.opts if name.startswith("--")}
    for before in ([], [ID], *([option] for option in sorted(options))):
        assert "canary" not in harmless_part(secretctl, [command, *before, "canary"])


def test_what_is_added_is_there(state: Path) -> None:
    history, other_shell = History(), History()
    history.add("status")
    other_shell.add("whoami")

    assert history.lines() == ["status", "whoami"]
    assert state.stat().st_mode & 0o777 == 0o600


def test_others_may_not_read_it_even_if_they_could(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("status\n")
    state.chmod(0o644)

    assert History().lines() == ["status"]
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_relative_directory_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(BaseDirectory, "xdg_state_home", "state")

    with pytest.raises(FileNotFoundError):
        History()
    assert not (tmp_path / "state").exists()


def test_it_does_not_follow_a_link(state: Path, tmp_path: Path) -> None:
    state.parent.mkdir(parents=True)
    state.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match="symbolic"):
        History()
    assert not (tmp_path / "elsewhere").exists()


def test_the_oldest_lines_are_forgotten(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("".join(f"{number}\n" for number in range(2_001)))

    lines = History().lines()

    assert (len(lines), lines[0], lines[-1]) == (1_000, "1001", "2000")
