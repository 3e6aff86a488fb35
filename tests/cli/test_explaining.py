"""What explain asks of the daemon, and that the commands it prints are what they say."""

from __future__ import annotations

import io
import os
import pwd
import subprocess
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from helpers.scripted_client import ScriptedClient
from secretd.cli import invocation
from secretd.cli.grantoptions import command_for
from secretd.cli.main import run
from secretd.errors import ExitStatus
from secretd.grantrequests import Explain, Explained, GrantAdd, GrantAdded, Group
from secretd.grants import (
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
)
from secretd.keys import ContextPair, KeyId, Tag
from secretd.model import Permission, Usage, UsageType

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
USAGE = Usage(UsageType.CEPH, "client.libvirt")
ROOT: dict[str, Any] = {
    "uid": 0,
    "gid": 0,
    "groups": tuple(map(Group, dict.fromkeys(os.getgrouplist("root", pwd.getpwnam("root").pw_gid)))),
}
UNKNOWN = 3_999_999_999
NGINX = Principal(PrincipalKind.USER, 33, executable=ExecutableIs("/usr/sbin/nginx", "0" * 64))

Script = Callable[..., ScriptedClient]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(*replies: Explained | GrantAdded) -> ScriptedClient:
        client = ScriptedClient({Explain: replies, GrantAdd: replies})
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        pytest.param(["list", "--as", "user:root"], Explain("list", **ROOT), id="a-user-with-his-groups"),
        pytest.param(["list", "--as", "user:0"], Explain("list", **ROOT), id="a-user-by-number"),
        pytest.param(["list", "--as", f"user:{UNKNOWN}"], Explain("list", uid=UNKNOWN), id="a-number-of-nobody"),
        pytest.param(
            ["list", "--as", "group:root", "--as", "group:7"], Explain("list", groups=(Group(0), Group(7))), id="groups"
        ),
        pytest.param(
            ["list", "--as", "unit:web.service", "--as", f"user:{UNKNOWN}", "--as-readonly"],
            Explain("list", uid=UNKNOWN, unit="web.service", read_only=True),
            id="a-unit-and-read-only",
        ),
        pytest.param(
            ["list", "--as", "group:7", "--executable", "/bin/x", "--sha256", "0" * 64],
            Explain("list", groups=(Group(7),), executable="/bin/x", sha256="0" * 64),
            id="an-executable",
        ),
        pytest.param(["get-value", str(ID), "--as", "group:7"], Explain("get-value", ID, groups=(Group(7),)), id="id"),
        pytest.param(
            ["encrypt", "--key", "nightly", "--as", "group:7"],
            Explain("encrypt", key=KeyId("nightly"), groups=(Group(7),)),
            id="key",
        ),
        pytest.param(
            ["key-create", "--key-tag", "env=prod", "--key-tag", "own=", "--as", "group:7"],
            Explain("key-create", tags=(ContextPair("env", "prod"), ContextPair("own", "")), groups=(Group(7),)),
            id="key-that-would-be",
        ),
        pytest.param(
            ["secret-get-value", "ceph", USAGE.id, "--as", "group:7"],
            Explain("get-value", usage=USAGE, groups=(Group(7),)),
            id="a-command-and-a-usage",
        ),
        pytest.param(
            ["secret-set-xml", str(ID), "ceph", USAGE.id, "--ephemeral", "--as", "group:7"],
            Explain("set-xml", ID, USAGE, ephemeral=True, groups=(Group(7),)),
            id="both",
        ),
    ],
)
def test_what_is_asked(words: list[str], asked: Explain, scripted: Script) -> None:
    client = scripted(Explained(allowed=True))

    assert run(["explain", *words]) == ExitStatus.OK
    assert client.requests == [asked]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["list"], "Missing option '--as'", id="nobody"),
        pytest.param(["list", "--as", "user:"], "user:NAME, group:NAME or unit:NAME.service", id="no-name"),
        pytest.param(["list", "--as", "root"], "user:NAME, group:NAME or unit:NAME.service", id="no-kind"),
        pytest.param(["list", "--as", "group:no-such"], "there is no group of this name", id="no-such-group"),
        pytest.param(["list", "--as", "unit:a", "--as", "unit:b"], "of one unit", id="two-units"),
        pytest.param(["list", "--as", "group:7", "--sha256", "00"], "of an --executable", id="sha256-alone"),
        pytest.param(["completion", "--as", "group:7"], "'get-value'", id="a-command-that-is-no-operation"),
        pytest.param(["get-value", "none", "x", "--as", "group:7"], "an OBJECT is", id="no-usage-type"),
        pytest.param(["get-value", str(ID), "x", "--as", "group:7"], "an OBJECT is", id="half-a-usage"),
        pytest.param(["get-value", *"abcd", "--as", "group:7"], "an OBJECT is", id="too-many-words"),
        pytest.param(["encrypt", "--key", "a/b", "--as", "group:7"], "this is no key's id", id="no-key"),
        pytest.param(["get-value", "ceph", "", "--as", "group:7"], "a usage needs an id", id="an-empty-usage"),
    ],
)
def test_what_cannot_be_asked(
    words: list[str], said: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted()

    assert run(["explain", *words]) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert client.requests == []


def grant(scope: Scope, principal: Principal | None = None) -> Grant:
    permissions = frozenset({Permission.GETATTR})
    return Grant("allow-get-value", None, principal or Principal(PrincipalKind.ANYONE), permissions, (scope,))


GRANTS = {
    "anyone-and-all": grant(EverySecret()),
    "a-user-and-an-id": grant(ThatSecret(ID), Principal(PrincipalKind.USER, 33)),
    "a-group-and-a-type": grant(UsageLike(UsageType.NONE), Principal(PrincipalKind.GROUP, 7)),
    "a-unit": grant(EverySecret(), Principal(PrincipalKind.UNIT, unit="a\\x2db@1.service")),
    "an-executable": grant(EverySecret(), NGINX),
    "a-pattern": grant(UsageLike(UsageType.TLS, "web/*")),
    "every-key": grant(EveryKey()),
    "a-key": grant(ThatKey(KeyId("_x-"))),
    "a-pattern-for-keys": grant(KeyLike("-*")),
    "a-tag": grant(KeyTagged(Tag("--all", "a=b 'c' $(d)\n\x9b2J"))),
    "like-an-option": grant(UsageLike(UsageType.TLS, "--all")),
    "a-shells-own": grant(UsageLike(UsageType.TLS, 'it\'s $(reboot) `x` \\ "!" ~ ; é')),
    "what-steers-a-terminal": grant(UsageLike(UsageType.TLS, "\t\n'\\ \x7f \x9b2J \u202e é")),
}


@pytest.mark.parametrize("given", GRANTS.values(), ids=GRANTS)
def test_the_command_adds_that_grant(given: Grant, scripted: Script) -> None:
    line = command_for(given)
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True, timeout=60, cwd="/"
    ).stdout
    client = scripted(GrantAdded())

    assert line.isprintable()
    assert run(words.decode().split("\0")[:-1]) == ExitStatus.OK
    assert client.requests == [GrantAdd(given)]


REFUSED = Explained(False, "access-denied", "you do not\x9b", (), (GRANTS["a-pattern"],))


def test_a_refusal_has_a_status_of_its_own(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted(REFUSED)

    assert run(["explain", "list", "--as", "group:7"]) == ExitStatus.REFUSED
    shown = capsys.readouterr()
    first, *_, last = shown.out.splitlines()
    assert first == "Refused, access-denied: you do not\\x9b"
    assert last == f"secretctl {command_for(GRANTS['a-pattern'])}"
    assert shown.err == ""


def test_in_a_shell_the_command_is_as_it_is_typed_there(
    scripted: Script, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted(REFUSED)
    lines: Any = io.TextIOWrapper(io.BytesIO(b"explain list --as group:7\n"))
    monkeypatch.setattr("sys.stdin", lines)

    assert run([]) == ExitStatus.REFUSED
    assert capsys.readouterr().out.splitlines()[-1] == command_for(GRANTS["a-pattern"])
