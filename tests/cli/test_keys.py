"""The commands about keys: what each asks of the daemon, and how it tells a person what came of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from helpers.scripted_client import Answer, ScriptedClient
from secretd.cli import invocation
from secretd.cli.main import run
from secretd.errors import DigestMismatchError, ExitStatus, NoKeyError, WrongStateError
from secretd.keyrequests import (
    DefaultKey,
    KeyArchive,
    KeyAttach,
    KeyCancelDeletion,
    KeyChanged,
    KeyCreate,
    KeyDefault,
    KeyDelete,
    KeyDeleted,
    KeyDeletionScheduled,
    KeyDescribe,
    KeyDescribed,
    KeyDetach,
    KeyDisable,
    KeyEnable,
    KeyEntry,
    KeyList,
    KeyRestore,
    KeyRotate,
    KeyRotated,
    KeyScheduleDeletion,
    KeysListed,
    KeyUpdate,
    KeyVersion,
)
from secretd.keys import KeyBackend, KeyDocument, KeyId, KeyOrigin, KeyState, Tag
from secretd.lifecycle import Reference, ReferenceKind
from secretd.model import Digest
from secretd.operations import Reply, Request

KEY = KeyId("nightly")
OTHER = KeyId("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
DIGEST = Digest("0123456789abcdef" * 2)
NEWER = Digest("fedcba9876543210" * 2)
CHANGED = KeyChanged(KEY, DIGEST)
MOMENT = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
DOCUMENT = KeyDocument(KEY, description="d", tags=(Tag("env", "prod"), Tag("site", "a")), rotation=90)
DESCRIBED = KeyDescribed(
    NEWER, DOCUMENT, KeyState.ENABLED, version=2, backend=KeyBackend.LOCAL, default=True, created=MOMENT
)
XML = "<key><id>nightly</id><tag name='env'>prod</tag></key>"

Script = Callable[[Mapping[type[Request[Any]], Sequence[Answer]]], ScriptedClient]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    def put(script: Mapping[type[Request[Any]], Sequence[Answer]]) -> ScriptedClient:
        client = ScriptedClient(script)
        monkeypatch.setattr(invocation, "Client", client)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(XML.encode())))
        return client

    return put


def secretctl(*words: str) -> int:
    return run(["-c", "x", *words])


ALL_SAID = [
    *("--description", "d", "--tag", "env=prod", "--tag", "site=a=b", "--rotate-every", "90", "--exportable"),
]


@pytest.mark.parametrize(
    ("arguments", "asked", "reply", "printed"),
    [
        pytest.param(["key-create"], KeyCreate(KeyDocument()), CHANGED, "Key nightly created", id="create"),
        pytest.param(
            ["key-create", "nightly", *ALL_SAID],
            KeyCreate(
                KeyDocument(
                    KEY,
                    description="d",
                    tags=(Tag("site", "a=b"), Tag("env", "prod")),
                    exportable=True,
                    rotation=90,
                )
            ),
            CHANGED,
            "Key nightly created",
            id="create-all",
        ),
        pytest.param(
            ["key-create", "--file", "-"],
            KeyCreate(KeyDocument(KEY, tags=(Tag("env", "prod"),))),
            CHANGED,
            "Key nightly created",
            id="create-from-a-document",
        ),
        pytest.param(
            ["key-create", OTHER.upper(), "--description", ""],
            KeyCreate(KeyDocument(OTHER)),
            CHANGED,
            "Key nightly created",
            id="create-with-an-id-in-capitals",
        ),
        pytest.param(["key-enable", "nightly"], KeyEnable(KEY), CHANGED, "Key nightly enabled", id="enable"),
        pytest.param(
            ["key-disable", "nightly", "--digest", DIGEST],
            KeyDisable(KEY, DIGEST),
            CHANGED,
            "Key nightly disabled",
            id="disable",
        ),
        pytest.param(
            ["key-archive", "nightly", "--digest", DIGEST],
            KeyArchive(KEY, DIGEST),
            CHANGED,
            "Key nightly archived",
            id="archive",
        ),
        pytest.param(["key-restore", "nightly"], KeyRestore(KEY), CHANGED, "Key nightly restored", id="restore"),
        pytest.param(
            ["key-cancel-deletion", "nightly"],
            KeyCancelDeletion(KEY),
            CHANGED,
            "Key nightly will not be destroyed",
            id="cancel-deletion",
        ),
        pytest.param(
            ["key-rotate", "nightly", "--digest", DIGEST],
            KeyRotate(KEY, DIGEST),
            KeyRotated(KEY, NEWER, 7),
            "Version 7 of key nightly seals from now on",
            id="rotate",
        ),
        pytest.param(
            ["key-schedule-deletion", "nightly"],
            KeyScheduleDeletion(KEY, 30),
            KeyDeletionScheduled(KEY, NEWER, MOMENT),
            "Key nightly will be destroyed on 2027-12-31T23:59:59Z",
            id="schedule-deletion",
        ),
        pytest.param(
            ["key-schedule-deletion", "nightly", "--days", "7", "--digest", DIGEST],
            KeyScheduleDeletion(KEY, 7, DIGEST),
            KeyDeletionScheduled(KEY, NEWER, MOMENT),
            "Key nightly will be destroyed on 2027-12-31T23:59:59Z",
            id="schedule-deletion-all",
        ),
        pytest.param(
            ["key-delete", "nightly", "--confirm", "nightly", "--digest", DIGEST],
            KeyDelete(KEY, KEY, DIGEST),
            KeyDeleted(),
            "Key nightly destroyed",
            id="delete",
        ),
        pytest.param(
            ["key-attach", "nightly", "sync:offsite"],
            KeyAttach(KEY, "sync:offsite", ReferenceKind.ACTIVE),
            CHANGED,
            "Key nightly is needed by sync:offsite",
            id="attach",
        ),
        pytest.param(
            ["key-attach", "nightly", "sync:offsite", "--associated", "--digest", DIGEST],
            KeyAttach(KEY, "sync:offsite", ReferenceKind.ASSOCIATED, DIGEST),
            CHANGED,
            "Key nightly is needed by sync:offsite",
            id="attach-associated",
        ),
        pytest.param(
            ["key-detach", "nightly", "sync:offsite"],
            KeyDetach(KEY, "sync:offsite"),
            CHANGED,
            "Key nightly is not needed by sync:offsite any more",
            id="detach",
        ),
        pytest.param(
            ["key-default", "nightly"], KeyDefault(KEY), DefaultKey(), "Key nightly is the default now", id="default"
        ),
        pytest.param(
            ["key-default", "--none"], KeyDefault(None), DefaultKey(), "There is no default key now", id="no-default"
        ),
    ],
)
def test_a_command_asks_and_tells(
    arguments: list[str],
    asked: Request[Any],
    reply: Reply,
    printed: str,
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = scripted({type(asked): [reply, reply]})

    assert secretctl(*arguments) == ExitStatus.OK
    assert client.requests == [asked]
    assert capsys.readouterr() == (f"{printed}\n", "")

    client = scripted({type(asked): [reply]})
    assert secretctl("-q", *arguments) == ExitStatus.OK
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["key-create", "--file", "-", "--exportable"], "and not both", id="a-file-and-options"),
        pytest.param(["key-create", "other", "--file", "-"], "the document has another id", id="two-ids"),
        pytest.param(["key-create", "no"], "this is no key's id", id="too-short"),
        pytest.param(["key-create", "-p", "canary"], "No such option", id="no-such-option"),
        pytest.param(["key-create", "--tag", "env"], "it is a name and a text, as NAME=TEXT.", id="no-text"),
        pytest.param(["key-create", "--tag", "=prod"], "it is a name and a text, as NAME=TEXT.", id="no-name"),
        pytest.param(["key-create", "--tag", "a=b", "--tag", "a=c"], "a tag is named twice", id="a-tag-twice"),
        pytest.param(["key-create", "--description", "x" * 1025], "at most 1024 bytes", id="a-long-description"),
        pytest.param(["key-create", "--rotate-every", "0"], "1<=x<=3650", id="every-moment"),
        pytest.param(["key-update", "nightly"], "say what to change", id="nothing-to-change"),
        pytest.param(
            ["key-update", "nightly", "--description", "d", "--no-description"],
            "--description and --no-description cannot go together",
            id="a-description-and-none",
        ),
        pytest.param(
            ["key-update", "nightly", "--rotate-every", "9", "--no-rotation"],
            "--rotate-every and --no-rotation cannot go together",
            id="a-rotation-and-none",
        ),
        pytest.param(["key-default"], "name a key, or say --none", id="no-default-said"),
        pytest.param(["key-default", "nightly", "--none"], "name a key, or say --none", id="a-default-and-none"),
        pytest.param(["key-schedule-deletion", "nightly", "--days", "6"], "7<=x<=30", id="too-soon"),
        pytest.param(["key-attach", "nightly", "a b"], "and no space.", id="no-consumer"),
        pytest.param(["key-detach", "nightly", "\x01"], "printable characters", id="no-consumer-either"),
        pytest.param(["key-delete", "nightly"], "Missing option '--confirm'", id="named-once"),
        pytest.param(["key-describe", "nightly", "--xml", "--json"], "cannot go together", id="two-forms"),
    ],
)
def test_what_cannot_be_meant_is_asked_of_nobody(
    arguments: list[str], said: str, scripted: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    client = scripted({})

    assert secretctl(*arguments) == ExitStatus.USAGE
    assert said in capsys.readouterr().err
    assert client.requests == []


def entry(key: str, **fields: Any) -> KeyEntry:
    return replace(KeyEntry(KeyId(key), DIGEST, KeyState.ENABLED, 1, KeyBackend.LOCAL, default=False), **fields)


def test_all_pages_of_a_list_are_shown(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    first = KeysListed((entry("nightly", default=True, version=12, description="a\x1bb"),), True, KeyId("weekly"))
    client = scripted({KeyList: [first, KeysListed((entry("weekly", state=KeyState.ARCHIVED),), truncated=False)]})

    assert secretctl("key-list", "--archived") == ExitStatus.OK
    assert client.requests == [KeyList(archived=True), KeyList(archived=True, marker=KeyId("weekly"))]
    assert capsys.readouterr().out.splitlines() == [
        " Key       State      Version   Default   Description",
        "------------------------------------------------------",
        " nightly   enabled    12        yes       a\\x1bb",
        " weekly    archived   1         no",
    ]


def test_a_list_is_an_array_to_programs(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted({KeyList: [KeysListed((entry("nightly"), entry("weekly")), truncated=False)]})

    assert secretctl("key-list", "--json") == ExitStatus.OK
    assert [one["key"] for one in json.loads(capsys.readouterr().out)] == ["nightly", "weekly"]


def test_a_key_is_described(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    described = replace(
        DESCRIBED,
        rotated=MOMENT,
        due=MOMENT,
        versions=(KeyVersion(1, MOMENT, KeyOrigin.IMPORTED, 3), KeyVersion(2, MOMENT, KeyOrigin.GENERATED, 0)),
        references=(Reference("sync:offsite", ReferenceKind.ACTIVE),),
    )
    client = scripted({KeyDescribe: [described]})

    assert secretctl("key-describe", "nightly") == ExitStatus.OK
    assert client.requests == [KeyDescribe(KEY)]
    assert capsys.readouterr().out.splitlines() == [
        " Key:            nightly",
        " Description:    d",
        " Tags:           env=prod, site=a",
        " State:          enabled",
        " Version:        2",
        " Default:        yes",
        " Exportable:     no",
        " Rotation:       every 90 days",
        " Usage:          encrypt-decrypt",
        " Backend:        local",
        " Created:        2027-12-31T23:59:59Z",
        " Rotated:        2027-12-31T23:59:59Z",
        " Destroyed on:   2027-12-31T23:59:59Z",
        f" Digest:         {NEWER}",
        " Number   Created                Origin      Uses",
        "--------------------------------------------------",
        " 1        2027-12-31T23:59:59Z   imported    3",
        " 2        2027-12-31T23:59:59Z   generated   0",
        " Consumer       Kind",
        "-----------------------",
        " sync:offsite   active",
    ]


def test_a_key_is_described_by_its_document(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    scripted({KeyDescribe: [replace(DESCRIBED, document=KeyDocument(KEY, description="a\x9bb"))]})

    assert secretctl("key-describe", "nightly", "--xml") == ExitStatus.OK
    assert "<description>a&#155;b</description>" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "document"),
    [
        pytest.param(["--description", "e"], replace(DOCUMENT, description="e"), id="a-description"),
        pytest.param(["--description", ""], replace(DOCUMENT, description=None), id="an-empty-one"),
        pytest.param(["--no-description"], replace(DOCUMENT, description=None), id="no-description"),
        pytest.param(["--rotate-every", "7"], replace(DOCUMENT, rotation=7), id="a-rotation"),
        pytest.param(["--no-rotation"], replace(DOCUMENT, rotation=None), id="no-rotation"),
        pytest.param(
            ["--tag", "env=test", "--tag", "more=1"],
            replace(DOCUMENT, tags=(Tag("env", "test"), Tag("more", "1"), Tag("site", "a"))),
            id="a-tag-anew-and-another",
        ),
        pytest.param(["--untag", "env"], replace(DOCUMENT, tags=(Tag("site", "a"),)), id="a-tag-less"),
    ],
)
def test_what_is_not_said_of_a_key_stays(options: list[str], document: KeyDocument, scripted: Script) -> None:
    client = scripted({KeyDescribe: [DESCRIBED], KeyUpdate: [CHANGED]})

    assert secretctl("key-update", "nightly", *options) == ExitStatus.OK
    assert client.requests == [KeyDescribe(KEY), KeyUpdate(KEY, document, NEWER)]


def test_a_digest_that_is_given_counts_instead_of_the_one_read(scripted: Script) -> None:
    client = scripted({KeyDescribe: [DESCRIBED], KeyUpdate: [CHANGED]})

    secretctl("key-update", "nightly", "--no-rotation", "--digest", DIGEST)
    assert client.requests[1] == KeyUpdate(KEY, replace(DOCUMENT, rotation=None), DIGEST)


def test_a_tag_that_is_not_there_cannot_be_dropped(scripted: Script, capsys: pytest.CaptureFixture[str]) -> None:
    client = scripted({KeyDescribe: [DESCRIBED]})

    assert secretctl("key-update", "nightly", "--untag", "evn") == ExitStatus.USAGE
    assert "the key has no such tag" in capsys.readouterr().err
    assert client.requests == [KeyDescribe(KEY)]


@pytest.mark.parametrize(
    ("arguments", "error", "advice"),
    [
        pytest.param(["key-delete", "nightly", "--confirm", "nightly"], WrongStateError, "key-disable", id="in-use"),
        pytest.param(["key-rotate", "nightly"], WrongStateError, "key-enable", id="out-of-use"),
        pytest.param(["key-rotate", "nightly"], NoKeyError, "key-list --archived", id="no-such-key"),
        pytest.param(["key-rotate", "nightly"], DigestMismatchError, "Read it again", id="another-by-now"),
    ],
)
def test_what_can_be_done_is_said(
    arguments: list[str],
    error: type[Exception],
    advice: str,
    scripted: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = error("what is wrong")
    scripted({KeyDelete: [failed], KeyRotate: [failed]})

    assert secretctl(*arguments) != ExitStatus.OK
    said, todo = capsys.readouterr().err.splitlines()
    assert said == "error: what is wrong"
    assert advice in todo
