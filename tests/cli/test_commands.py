"""What each command asks of the daemon, and how it tells a person what came of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from helpers.scripted_client import ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.cli.values import PRESETS
from secretd.errors import ExitStatus
from secretd.model import Attributes, Digest, SecretDocument, SecretValue, Usage, UsageType
from secretd.operations import (
    AllocateId,
    Changed,
    Count,
    Counted,
    Define,
    Delete,
    Deleted,
    Entry,
    Found,
    FoundEntry,
    GenerateValue,
    GetValue,
    GetXml,
    GotValue,
    GotXml,
    List,
    Listed,
    LookupById,
    LookupByUsage,
    Reply,
    Request,
    SetValue,
    SetXml,
)

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
OTHER = UUID("b7d2e8c4-91a6-4e5d-8f02-3c4d5e6f7a81")
DIGEST = Digest("0123456789abcdef" * 2)
CHANGED = Changed(ID, DIGEST)
DOCUMENT = SecretDocument(Attributes(usage=Usage(UsageType.VOLUME, "/disk")))
XML = "<secret><volume>/disk</volume></secret>"

Script = Callable[[dict[type[Request[Any]], list[Reply]]], ScriptedClient]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(script: dict[type[Request[Any]], list[Reply]]) -> ScriptedClient:
        client = ScriptedClient(script)
        monkeypatch.setattr(invocation, "Client", client)
        return client

    return put


@pytest.fixture
def given_input(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    return lambda content: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("arguments", "request_made", "reply", "printed"),
    [
        pytest.param(["secret-allocate"], AllocateId(), CHANGED, f"{ID}\n", id="allocate"),
        pytest.param(
            ["secret-allocate", "--description", "d", "--ephemeral"],
            AllocateId(description="d", ephemeral=True),
            CHANGED,
            f"{ID}\n",
            id="allocate-all",
        ),
        pytest.param(["secret-define", "-"], Define(DOCUMENT), CHANGED, f"Secret {ID} created\n", id="define"),
        pytest.param(
            ["secret-define", "-", "--validate", "--digest", DIGEST],
            Define(DOCUMENT, DIGEST),
            CHANGED,
            f"Secret {ID} created\n",
            id="define-all",
        ),
        pytest.param(
            ["secret-set-xml", str(ID), "-", "--digest", DIGEST],
            SetXml(ID, DOCUMENT, DIGEST),
            CHANGED,
            f"Secret {ID} changed\n",
            id="set-xml",
        ),
        pytest.param(
            ["secret-dumpxml", str(ID).upper()],
            GetXml(ID),
            GotXml(DIGEST, SecretDocument(Attributes(), ID)),
            f"<secret ephemeral='no' private='no'>\n  <uuid>{ID}</uuid>\n</secret>\n",
            id="dumpxml",
        ),
        pytest.param(
            ["secret-undefine", ID.hex, "--digest", DIGEST],
            Delete(ID, DIGEST),
            Deleted(),
            f"Secret {ID} deleted\n",
            id="undefine",
        ),
        pytest.param(
            ["secret-set-value", str(ID), "--file", "-", "--plain", "--ephemeral", "--digest", DIGEST],
            SetValue(ID, SecretValue(XML.encode()), ephemeral=True, create=True, digest=DIGEST),
            CHANGED,
            "Secret value set\n",
            id="set-value-all",
        ),
        pytest.param(
            ["secret-set-value", str(ID), "--file", "-", "--plain"],
            SetValue(ID, SecretValue(XML.encode()), create=False),
            CHANGED,
            "Secret value set\n",
            id="set-value-of-what-is-there",
        ),
        pytest.param(
            ["secret-set-value", str(ID), "--file", "-", "--plain", "--create"],
            SetValue(ID, SecretValue(XML.encode()), create=True),
            CHANGED,
            "Secret value set\n",
            id="set-value-create",
        ),
        pytest.param(
            ["secret-set-value", "--secret", str(ID), "--file", "-", "--plain"],
            SetValue(ID, SecretValue(XML.encode()), create=False),
            CHANGED,
            "Secret value set\n",
            id="set-value-by-name",
        ),
        pytest.param(
            ["secret-define", "--validate", "--file", "-"],
            Define(DOCUMENT),
            CHANGED,
            f"Secret {ID} created\n",
            id="define-by-name",
        ),
        pytest.param(
            ["secret-undefine", f"--secret={ID}"],
            Delete(ID),
            Deleted(),
            f"Secret {ID} deleted\n",
            id="undefine-by-name",
        ),
        pytest.param(
            ["secret-get-value", str(ID)], GetValue(ID), GotValue(SecretValue(b"secret")), "c2VjcmV0\n", id="get-value"
        ),
        pytest.param(
            ["secret-get-value", str(ID), "--plain"],
            GetValue(ID),
            GotValue(SecretValue(b"secret")),
            "secret",
            id="get-value-plain",
        ),
        pytest.param(
            ["secret-generate-value", str(ID)], GenerateValue(ID, 32), CHANGED, "Secret value set\n", id="generate"
        ),
        pytest.param(
            ["secret-generate-value", str(ID), "--length", "9", "--alphabet", "ab", "--digest", DIGEST],
            GenerateValue(ID, 9, "ab", DIGEST),
            CHANGED,
            "Secret value set\n",
            id="generate-all",
        ),
        pytest.param(
            ["secret-generate-value", str(ID), "--preset", "hex"],
            GenerateValue(ID, 32, "0123456789abcdef"),
            CHANGED,
            "Secret value set\n",
            id="generate-preset",
        ),
        pytest.param(
            ["secret-lookup", "tls", "x"],
            LookupByUsage(Usage(UsageType.TLS, "x")),
            Found(ID, DIGEST),
            f"{ID}\n",
            id="lookup",
        ),
        pytest.param(
            ["secret-info", str(ID)],
            LookupById(ID),
            FoundEntry(ID, DIGEST, ephemeral=True, private=False, has_value=True),
            f" UUID:        {ID}\n Usage:       Unused\n Value:       yes\n Ephemeral:   yes\n Private:     no\n"
            f" Digest:      {DIGEST}\n",
            id="info",
        ),
        pytest.param(["secret-count"], Count(), Counted(12_345), "12345\n", id="count"),
    ],
)
def test_a_command_asks_and_tells(
    arguments: list[str],
    request_made: Request[Any],
    reply: Reply,
    printed: str,
    scripted: Script,
    given_input: Callable[[bytes], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = scripted({type(request_made): [reply]})
    given_input(XML.encode())

    assert run(["-c", "x", *arguments]) == ExitStatus.OK
    assert client.requests == [request_made]
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize(
    ("options", "request_made"),
    [
        pytest.param([], List(), id="all"),
        pytest.param(["--ephemeral"], List(ephemeral=True), id="ephemeral"),
        pytest.param(["--no-ephemeral"], List(ephemeral=False), id="no-ephemeral"),
        pytest.param(["--private"], List(private=True), id="private"),
        pytest.param(["--no-private"], List(private=False), id="no-private"),
        pytest.param(["--private", "--no-private"], List(), id="both-are-none"),
        pytest.param(["--ephemeral", "--no-private"], List(ephemeral=True, private=False), id="two"),
        pytest.param(["--usage-type", "ceph"], List(usage_type=UsageType.CEPH), id="usage-type"),
        pytest.param(["--usage-type", "none"], List(usage_type=UsageType.NONE), id="no-usage"),
        pytest.param(["--long"], List(), id="long-asks-for-nothing-more"),
    ],
)
def test_a_list_is_filtered_by_the_daemon(options: list[str], request_made: List, scripted: Script) -> None:
    client = scripted({List: [Listed(entries=(), truncated=False)]})

    assert run(["-c", "x", "secret-list", *options]) == ExitStatus.OK
    assert client.requests == [request_made]


@pytest.mark.parametrize(
    ("options", "request_made"),
    [
        pytest.param(["--ephemeral"], Count(ephemeral=True), id="ephemeral"),
        pytest.param(["--no-ephemeral"], Count(ephemeral=False), id="no-ephemeral"),
        pytest.param(["--private"], Count(private=True), id="private"),
        pytest.param(["--no-private"], Count(private=False), id="no-private"),
        pytest.param(["--ephemeral", "--no-ephemeral"], Count(), id="both-are-none"),
        pytest.param(["--ephemeral", "--no-private"], Count(ephemeral=True, private=False), id="two"),
    ],
)
def test_a_count_is_filtered_by_the_daemon(options: list[str], request_made: Count, scripted: Script) -> None:
    client = scripted({Count: [Counted(0)]})

    assert run(["-c", "x", "secret-count", *options]) == ExitStatus.OK
    assert client.requests == [request_made]


def test_a_list_says_what_it_could_not_show(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted({List: [Listed((), truncated=True, next_marker=OTHER, damaged=1), Listed((), truncated=False, damaged=2)]})

    assert run(["-c", "x", "secret-list"]) == ExitStatus.STORE
    told = capsys.readouterr()
    assert told.out.startswith(" UUID")
    assert "error: not listed, as they do not open: 3" in told.err


def test_a_list_is_asked_for_to_its_end_on_one_connection(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    first, last = (
        Entry(secret=secret, digest=DIGEST, ephemeral=False, private=False, has_value=False) for secret in (ID, OTHER)
    )
    client = scripted(
        {
            List: [
                Listed(entries=(first,), truncated=True, next_marker=OTHER),
                Listed(entries=(), truncated=True, next_marker=OTHER),
                Listed(entries=(last,), truncated=False),
            ]
        }
    )

    assert run(["-c", "x", "secret-list", "--private"]) == ExitStatus.OK
    assert client.requests == [
        List(private=True),
        List(private=True, marker=OTHER),
        List(private=True, marker=OTHER),
    ]
    assert client.paths == [Path("x")]
    assert capsys.readouterr().out.count("Unused") == 2


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["secret-set-value", str(ID), "Y2FuYXJ5"], id="as-in-virsh"),
        pytest.param(["secret-set-value", str(ID), "Y2FuYXJ5", "--file", "-"], id="beside-a-file"),
        pytest.param(["secret-set-value", "--secret", str(ID), "Y2FuYXJ5"], id="beside-an-id-by-name"),
        pytest.param(["secret-set-value", str(ID), "--base64", "Y2FuYXJ5"], id="as-an-option"),
        pytest.param(["secret-set-value", "--base64=Y2FuYXJ5", str(ID)], id="as-an-option-joined"),
    ],
)
def test_a_value_on_the_command_line_is_refused_and_not_repeated(
    arguments: list[str], scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted({})

    assert run(["-c", "x", *arguments]) == ExitStatus.USAGE

    message = capsys.readouterr().err
    assert "never taken from the command line" in message
    assert "--file -" in message
    assert "Y2FuYXJ5" not in message
    assert client.paths == []


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["secret-set-value", str(ID)], id="no-source"),
        pytest.param(["secret-set-value", str(ID), "--file", "-", "--interactive"], id="two-sources"),
        pytest.param(["secret-get-value", str(ID), "--plain", "--json"], id="plain-json"),
        pytest.param(["secret-generate-value", str(ID), "--preset", "hex", "--alphabet", "ab"], id="two-alphabets"),
        pytest.param(["secret-generate-value", str(ID), "--length", "0"], id="no-length"),
        pytest.param(["secret-dumpxml", "--secret", str(ID), str(ID)], id="an-id-twice"),
        pytest.param(["secret-dumpxml", "--secret", "nonsense"], id="no-id-by-name"),
        pytest.param(["secret-define", "--file", "-", "-"], id="a-file-twice"),
        pytest.param(["secret-undefine", str(ID), "--digest", "0" * 31], id="short-digest"),
        pytest.param(["secret-lookup", "none", "x"], id="usage-without-an-id"),
        pytest.param(["secret-define", "/nonexistent"], id="no-such-file"),
        pytest.param(["secret-define", "/"], id="a-directory"),
    ],
)
def test_what_cannot_be_meant_is_not_asked(arguments: list[str], scripted: Script) -> None:
    client = scripted({})

    assert run(["-c", "x", *arguments]) == ExitStatus.USAGE
    assert client.paths == []


def test_json_says_how_long_a_value_is(
    scripted: Script, given_input: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    scripted({SetValue: [CHANGED]})
    given_input(b"c2Vj\ncmV0\n")

    assert run(["-c", "x", "secret-set-value", str(ID), "--file", "-", "--json"]) == ExitStatus.OK
    assert json.loads(capsys.readouterr().out) == {"secret": str(ID), "digest": DIGEST, "bytes": 6}


@pytest.mark.parametrize("alphabet", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_an_alphabet_that_the_daemon_takes(alphabet: str) -> None:
    assert len(set(alphabet)) == len(alphabet) >= 2
    assert all("!" <= char <= "~" for char in alphabet)
