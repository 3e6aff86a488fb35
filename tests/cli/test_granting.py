"""The commands about grants: what the options say, what is refused, and what is doubted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from helpers.scripted_client import ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import ExitStatus
from secretd.grantrequests import GrantAdd, GrantAdded
from secretd.grants import (
    PERMISSIONS_OF,
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyTagged,
    PermissionSet,
    Principal,
    PrincipalKind,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import KeyId, Tag
from secretd.model import Permission, UsageType

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
ANYONE = Principal(PrincipalKind.ANYONE)
READ = frozenset({Permission.READ})
ALL = Grant("one", None, ANYONE, READ, (EverySecret(),))
WHOLE = {"--name": "one", "--anyone": None, "--allow": "read", "--all": None}
"""What describes a grant, and no more than has to."""


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> ScriptedClient:
    client = ScriptedClient({GrantAdd: [GrantAdded()]})
    monkeypatch.setattr(invocation, "Client", client)
    return client


def without(*options: str) -> list[str]:
    return [word for name, value in WHOLE.items() if name not in options for word in (name, value) if word is not None]


def grant_add(*words: str) -> int:
    return run(["-c", "x", "grant-add", *words])


@pytest.mark.parametrize(
    ("words", "grant"),
    [
        pytest.param(without(), ALL, id="no-more-than-has-to-be"),
        pytest.param(
            [*without("--allow"), "--allow", " read-only, delete,delete "],
            Grant("one", None, ANYONE, PERMISSIONS_OF[PermissionSet.READ_ONLY] | {Permission.DELETE}, (EverySecret(),)),
            id="a-set-and-more-than-it",
        ),
        pytest.param(
            [
                *without("--anyone", "--all"),
                *("--description", "for the web", "--group", "root", "--executable", "/bin/no", "--sha256", "0" * 64),
                *("--secret", str(ID), "--usage", "tls", "--pattern", "web/*", "--expires", "2127-12-31T23:59:59Z"),
            ],
            Grant(
                "one",
                "for the web",
                Principal(PrincipalKind.GROUP, 0, executable=ExecutableIs("/bin/no", "0" * 64)),
                READ,
                (ThatSecret(ID), UsageLike(UsageType.TLS, "web/*")),
                datetime(2127, 12, 31, 23, 59, 59, tzinfo=UTC),
            ),
            id="all-that-can-be",
        ),
        pytest.param(
            [
                *without("--allow", "--all"),
                *("--allow", "key-encrypter", "--keys", "--key", str(ID).upper(), "--key", "nightly"),
                *("--key-pattern", "backup-*", "--key-pattern", "*.x", "--key-tag", "env=a=b", "--key-tag", "own="),
            ],
            Grant(
                "one",
                None,
                ANYONE,
                PERMISSIONS_OF[PermissionSet.KEY_ENCRYPTER],
                (
                    EveryKey(),
                    *(ThatKey(KeyId(str(ID))), ThatKey(KeyId("nightly"))),
                    *(KeyLike("backup-*"), KeyLike("*.x")),
                    *(KeyTagged(Tag("env", "a=b")), KeyTagged(Tag("own", ""))),
                ),
            ),
            id="keys",
        ),
    ],
)
def test_the_options_describe_a_grant(words: list[str], grant: Grant, daemon: ScriptedClient) -> None:
    assert grant_add(*words) == ExitStatus.OK
    assert daemon.requests == [GrantAdd(grant)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param([], "give a FILE, or the options that describe the grant, and not both.", id="nothing"),
        pytest.param(["-", *without()], "and not both.", id="a-file-and-options"),
        pytest.param(without("--name"), "name the grant: --name.", id="no-name"),
        pytest.param(without("--anyone"), "say who is meant: one of --user,", id="nobody"),
        pytest.param(without("--allow"), "say what is permitted: --allow.", id="nothing-permitted"),
        pytest.param(without("--all"), "say which secrets or keys: --all, --secret or --usage,", id="no-secret"),
        pytest.param([*without("--all"), "--pattern", "x"], "--pattern is of a --usage.", id="a-pattern-of-nothing"),
        pytest.param([*without(), "--user", "6"], "a grant is for one alone", id="two"),
        pytest.param([*without(), "--sha256", "0" * 64], "--sha256 is of an --executable.", id="a-sha256-of-nothing"),
        pytest.param(
            [*without("--allow"), "--allow", "read,write,canary"],
            "Invalid value for --allow: its word 3 is none of these: all, read-only,",
            id="no-permission",
        ),
        pytest.param([*without(), "--expires", "tomorrow"], "it is a moment in UTC", id="no-moment"),
        pytest.param(
            [*without(), "--usage", "ceph", "--pattern", "client.*", "--usage", "tls"],
            "Invalid value for '--usage': it is given once at most; more than that takes a FILE.",
            id="two-usages",
        ),
        pytest.param(
            [*without("--allow"), "--allow", "decrypt"],
            "the permission decrypt is for keys, and no scope is of keys",
            id="of-keys-over-secrets",
        ),
        pytest.param(
            [*without("--allow", "--all"), "--allow", "all", "--keys"],
            "is for secrets, and no scope is of secrets",
            id="all-over-keys",
        ),
        pytest.param([*without("--all"), "--key", "a/canary"], "this is no key's id", id="no-key"),
        pytest.param(
            [*without("--all"), "--key-pattern", "/canary"], "a pattern for keys has 1 to 64", id="no-pattern"
        ),
        pytest.param([*without("--all"), "--key-tag", "canary"], "a name and a text, as NAME=TEXT", id="no-tag"),
        pytest.param([*without(), "--name", "two"], "Invalid value for '--name': it is given once", id="two-names"),
    ],
)
def test_what_describes_no_grant_is_told_what_it_lacks(
    words: Sequence[str], said: str, daemon: ScriptedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grant_add(*words) == ExitStatus.USAGE

    error = capsys.readouterr().err
    assert said in error
    assert "canary" not in error
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("words", "doubt"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["--allow", "save"], "save permits nothing by itself", id="save-alone"),
        pytest.param(["--allow", "save,append"], "", id="save-with-append"),
        pytest.param(["--executable", "{here}/nobody"], "the executable is not there", id="no-such-file"),
        pytest.param(["--executable", "{here}/file/x"], "the executable is not there", id="no-such-directory"),
        pytest.param(["--executable", "{here}/link"], "is a link to, {here}/file", id="a-link"),
        pytest.param(["--executable", "{here}"], "the executable is no file", id="a-directory"),
        pytest.param(["--executable", "{here}/loop"], "", id="who-knows"),
        pytest.param(["--executable", "{here}/file"], "", id="a-file"),
    ],
)
def test_why_a_grant_may_give_nothing_is_said_once_it_is_added(
    words: list[str], doubt: str, daemon: ScriptedClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    named = [word.format(here=tmp_path) for word in words]
    whole = without("--anyone", "--allow") if "--allow" in words else without("--anyone")

    assert grant_add(*whole, "--user", "6", *named) == ExitStatus.OK
    shown = capsys.readouterr()
    assert shown.out == "Grant one added\n"
    assert doubt.format(here=tmp_path) in shown.err
    assert shown.err.startswith("warning: ") == bool(doubt)
    assert len(daemon.requests) == 1


def test_what_may_have_replaced_another_is_not_said_to_be_added(
    daemon: ScriptedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grant_add(*without(), "--replace") == ExitStatus.OK
    assert daemon.requests == [GrantAdd(ALL, replace=True)]
    assert capsys.readouterr() == ("Grant one set\n", "")
