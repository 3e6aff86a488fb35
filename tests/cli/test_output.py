"""What a reply looks like to a program and to a person."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd.cli import output
from secretd.client import read_secret
from secretd.grantrequests import (
    Explained,
    GrantAdded,
    GrantRemoved,
    GrantShown,
    GrantsListed,
    Group,
    Held,
    NamedGrant,
    Need,
    NeededOn,
)
from secretd.grants import (
    LARGEST_ID,
    EverySecret,
    ExecutableIs,
    Grant,
    Principal,
    PrincipalKind,
    ThatSecret,
    UsageLike,
)
from secretd.keyrequests import (
    DataKey,
    Decrypted,
    DefaultKey,
    Encrypted,
    KeyChanged,
    KeyDeleted,
    KeyDeletionScheduled,
    KeyDescribed,
    KeyEntry,
    KeyExported,
    KeyRotated,
    KeysListed,
    KeyVersion,
)
from secretd.keys import Blob, KeyBackend, KeyDocument, KeyId, KeyOrigin, KeyState, Tag
from secretd.lifecycle import Reference, ReferenceKind
from secretd.lifecyclerequests import SecretDeletionScheduled, SecretLifecycle
from secretd.model import (
    Attributes,
    Digest,
    Mode,
    Permission,
    SealState,
    SecretDocument,
    SecretValue,
    SlotKind,
    Usage,
    UsageType,
)
from secretd.operations import (
    OPERATIONS,
    Counted,
    DaemonStatus,
    Deleted,
    Entry,
    Found,
    FoundEntry,
    GotValue,
    GotXml,
    Listed,
    Measured,
    Slot,
    Subscribed,
    Unsubscribed,
    You,
)
from secretd.requests import (
    Changed,
    Reply,
)
from secretd.storerequests import (
    BackupPart,
    Checked,
    KeyringVersions,
    Problem,
    RestoreTaken,
    SealReport,
    SealRetired,
    SealRotated,
    StoreAccepted,
)

ID = UUID("6c1f0a9e-54b2-4f0c-9d3e-2f7b8a1c5e40")
DIGEST = Digest("0" * 32)
USAGE = Usage(UsageType.CEPH, "client.one")
KEY = KeyId("nightly")
MOMENT = datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
ENTRY = Entry(secret=ID, digest=DIGEST, ephemeral=False, private=True, has_value=True, usage=USAGE)

GRANT = Grant(
    "web",
    None,
    Principal(PrincipalKind.UNIT, unit="nginx.service", executable=ExecutableIs("/usr/sbin/nginx")),
    frozenset({Permission.READ_SECURE, Permission.GETATTR}),
    (UsageLike(UsageType.TLS, "web/*"), ThatSecret(ID), EverySecret()),
    datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
)
GRANT_SPELT = {
    "name": "web",
    "description": None,
    "principal": {
        "kind": "unit",
        "number": None,
        "unit": "nginx.service",
        "executable": {"path": "/usr/sbin/nginx", "sha256": None},
    },
    "permissions": ["getattr", "read-secure"],
    "scopes": [{"usage": "tls", "pattern": "web/*"}, {"secret": str(ID)}, {"all": True}],
    "expires": "2027-12-31T23:59:59Z",
}

JSON_OF_REPLIES = [
    pytest.param(
        SecretDeletionScheduled(ID, DIGEST, MOMENT),
        {"secret": str(ID), "digest": DIGEST, "due": "2027-12-31T23:59:59Z"},
        id="SecretDeletionScheduled",
    ),
    pytest.param(
        SecretLifecycle(DIGEST, True, MOMENT, MOMENT, (Reference("job", ReferenceKind.ACTIVE),)),
        {
            "digest": DIGEST,
            "protected": True,
            "archived": "2027-12-31T23:59:59Z",
            "due": "2027-12-31T23:59:59Z",
            "references": [{"consumer": "job", "kind": "active"}],
        },
        id="SecretLifecycle",
    ),
    pytest.param(Changed(ID, DIGEST), {"secret": str(ID), "digest": DIGEST}, id="Changed"),
    pytest.param(Found(ID, DIGEST), {"secret": str(ID), "digest": DIGEST}, id="Found"),
    pytest.param(
        FoundEntry(ID, DIGEST, ephemeral=False, private=True, has_value=True, usage=USAGE),
        {
            "secret": str(ID),
            "digest": DIGEST,
            "ephemeral": False,
            "private": True,
            "has_value": True,
            "usage": {"type": "ceph", "id": "client.one"},
            "out_of_use": None,
        },
        id="FoundEntry",
    ),
    pytest.param(Counted(3), {"secrets": 3}, id="Counted"),
    pytest.param(Deleted(), {}, id="Deleted"),
    pytest.param(Subscribed(), {}, id="Subscribed"),
    pytest.param(Unsubscribed(), {}, id="Unsubscribed"),
    pytest.param(GotValue(SecretValue(b"\xff\0")), {"value": "/wA="}, id="GotValue"),
    pytest.param(
        GotXml(DIGEST, SecretDocument(Attributes(usage=USAGE, description="d", private=True), ID)),
        {
            "digest": DIGEST,
            "document": {
                "id": str(ID),
                "description": "d",
                "usage": {"type": "ceph", "id": "client.one"},
                "ephemeral": False,
                "private": True,
            },
        },
        id="GotXml",
    ),
    pytest.param(
        GotXml(DIGEST, SecretDocument(Attributes())),
        {
            "digest": DIGEST,
            "document": {"id": None, "description": None, "usage": None, "ephemeral": False, "private": False},
        },
        id="GotXml-with-nothing",
    ),
    pytest.param(
        Listed(entries=(ENTRY,), truncated=False, damaged=2),
        {
            "entries": [
                {
                    "secret": str(ID),
                    "digest": DIGEST,
                    "ephemeral": False,
                    "private": True,
                    "has_value": True,
                    "usage": {"type": "ceph", "id": "client.one"},
                    "out_of_use": None,
                }
            ],
            "truncated": False,
            "next_marker": None,
            "damaged": 2,
        },
        id="Listed",
    ),
    pytest.param(
        You(
            uid=7,
            gid=8,
            pid=9,
            read_only=False,
            elevated=True,
            executable="/usr/sbin/nginx",
            executable_trusted=True,
            groups=(Group(1),),
            permissions=(Held(Permission.READ, owner=True), Held(Permission.READ_SECURE, False, (NamedGrant("web"),))),
        ),
        {
            "uid": 7,
            "gid": 8,
            "pid": 9,
            "read_only": False,
            "elevated": True,
            "label": None,
            "unit": None,
            "invocation": None,
            "executable": "/usr/sbin/nginx",
            "executable_trusted": True,
            "groups": [{"gid": 1}],
            "further_groups": None,
            "permissions": [
                {"name": "read", "owner": True, "grants": []},
                {"name": "read-secure", "owner": False, "grants": [{"name": "web"}]},
            ],
        },
        id="You",
    ),
    pytest.param(
        DaemonStatus("1.2", Mode.SYSTEM, SealState.SEALED, reason="why", slots=(Slot(SlotKind.LOCAL_FILE),)),
        {
            "version": "1.2",
            "mode": "system",
            "state": "sealed",
            "reason": "why",
            "keyring_version": None,
            "slots": [{"kind": "local-file"}],
            "store": None,
            "revision": None,
            "read_only": None,
            "persistent": None,
            "ephemeral": None,
            "memory_wiping": False,
            "memory_locked": "no",
            "peer_handles": False,
            "peer_executables": False,
            "bounds": [],
        },
        id="DaemonStatus",
    ),
    pytest.param(
        SealReport((KeyringVersions("shared", 2, 1, 40),), resealing=True, resealed=3, damaged=0),
        {
            "keyrings": [{"domain": "shared", "current": 2, "versions": 1, "uses": 40}],
            "resealing": True,
            "resealed": 3,
            "damaged": 0,
        },
        id="SealReport",
    ),
    pytest.param(GrantAdded(), {}, id="GrantAdded"),
    pytest.param(GrantRemoved(), {}, id="GrantRemoved"),
    pytest.param(GrantShown(GRANT), {"grant": GRANT_SPELT}, id="GrantShown"),
    pytest.param(
        Explained(
            False,
            "access-denied",
            "you do not hold the permission 'save'",
            (Need(NeededOn.AS_IT_IS, True, False, Permission.SAVE, (NamedGrant("web"),)),),
            (GRANT,),
        ),
        {
            "allowed": False,
            "code": "access-denied",
            "message": "you do not hold the permission 'save'",
            "needs": [{"on": "as-it-is", "held": True, "owner": False, "name": "save", "grants": [{"name": "web"}]}],
            "grants": [GRANT_SPELT],
        },
        id="Explained",
    ),
    pytest.param(
        GrantsListed((GRANT,), truncated=False),
        {"grants": [GRANT_SPELT], "truncated": False, "next_marker": None},
        id="GrantsListed",
    ),
    pytest.param(KeyChanged(KEY, DIGEST), {"key": "nightly", "digest": DIGEST}, id="KeyChanged"),
    pytest.param(
        KeysListed((KeyEntry(KEY, DIGEST, KeyState.ENABLED, 2, KeyBackend.LOCAL, default=True),), truncated=False),
        {
            "entries": [
                {
                    "key": "nightly",
                    "digest": DIGEST,
                    "state": "enabled",
                    "version": 2,
                    "backend": "local",
                    "default": True,
                    "description": None,
                }
            ],
            "truncated": False,
            "next_marker": None,
        },
        id="KeysListed",
    ),
    pytest.param(
        KeyDescribed(
            DIGEST,
            KeyDocument(KEY, description="d", tags=(Tag("env", "prod"),), exportable=True, rotation=90),
            KeyState.PENDING_DELETION,
            version=1,
            backend=KeyBackend.LOCAL,
            default=False,
            created=MOMENT,
            due=MOMENT,
            versions=(KeyVersion(1, MOMENT, KeyOrigin.IMPORTED, 3),),
            references=(Reference("sync:offsite", ReferenceKind.ASSOCIATED),),
        ),
        {
            "digest": DIGEST,
            "document": {
                "id": "nightly",
                "usage": "encrypt-decrypt",
                "description": "d",
                "tags": {"env": "prod"},
                "exportable": True,
                "rotation": 90,
            },
            "state": "pending-deletion",
            "version": 1,
            "backend": "local",
            "default": False,
            "created": "2027-12-31T23:59:59Z",
            "rotated": None,
            "archived": None,
            "due": "2027-12-31T23:59:59Z",
            "versions": [{"number": 1, "created": "2027-12-31T23:59:59Z", "origin": "imported", "uses": 3}],
            "references": [{"consumer": "sync:offsite", "kind": "associated"}],
        },
        id="KeyDescribed",
    ),
    pytest.param(KeyRotated(KEY, DIGEST, 2), {"key": "nightly", "digest": DIGEST, "version": 2}, id="KeyRotated"),
    pytest.param(
        KeyDeletionScheduled(KEY, DIGEST, MOMENT),
        {"key": "nightly", "digest": DIGEST, "due": "2027-12-31T23:59:59Z"},
        id="KeyDeletionScheduled",
    ),
    pytest.param(KeyDeleted(), {}, id="KeyDeleted"),
    pytest.param(DefaultKey(), {}, id="DefaultKey"),
    pytest.param(
        KeyExported(2, SecretValue(b"\xff\0"), "ab:cd"),
        {"version": 2, "value": "/wA=", "fingerprint": "ab:cd"},
        id="KeyExported",
    ),
    pytest.param(
        DataKey(KEY, 2, Blob(b"sdb"), SecretValue(b"\xff\0")),
        {"key": "nightly", "version": 2, "blob": "c2Ri", "value": "/wA="},
        id="DataKey",
    ),
    pytest.param(
        DataKey(KEY, 2, Blob(b"sdb")),
        {"key": "nightly", "version": 2, "blob": "c2Ri", "value": None},
        id="DataKey-wrapped",
    ),
    pytest.param(Encrypted(KEY, 2, Blob(b"sdb")), {"key": "nightly", "version": 2, "blob": "c2Ri"}, id="Encrypted"),
    pytest.param(
        Decrypted(KEY, 2, SecretValue(b"\xff\0")), {"key": "nightly", "version": 2, "value": "/wA="}, id="Decrypted"
    ),
    pytest.param(
        SecretLifecycle(DIGEST, protected=True, archived=MOMENT, references=(Reference("vm", ReferenceKind.ACTIVE),)),
        {
            "digest": DIGEST,
            "protected": True,
            "archived": "2027-12-31T23:59:59Z",
            "due": None,
            "references": [{"consumer": "vm", "kind": "active"}],
        },
        id="SecretLifecycle",
    ),
    pytest.param(
        SecretDeletionScheduled(ID, DIGEST, MOMENT),
        {"secret": str(ID), "digest": DIGEST, "due": "2027-12-31T23:59:59Z"},
        id="SecretDeletionScheduled",
    ),
    pytest.param(SealRotated(2), {"version": 2}, id="SealRotated"),
    pytest.param(SealRetired(2), {"version": 2}, id="SealRetired"),
    pytest.param(
        Checked(1, 1, 1, 1, (Problem("a value belongs to no secret", ID),)),
        {
            "secrets": 1,
            "values": 1,
            "usages": 1,
            "found": 1,
            "problems": [{"what": "a value belongs to no secret", "secret": str(ID)}],
        },
        id="Checked",
    ),
    pytest.param(StoreAccepted(7), {"revision": 7}, id="StoreAccepted"),
    pytest.param(Measured("# TYPE x gauge\n"), {"text": "# TYPE x gauge\n"}, id="Measured"),
    pytest.param(
        BackupPart(ID, SecretValue(b"part"), last=True, revision=7, records=8, total=8, damaged=0, secrets=3, grants=1),
        {"backup": str(ID), "value": "cGFydA==", "last": True, "revision": 7, "records": 8, "total": 8, "damaged": 0}
        | {"secrets": 3, "grants": 1},
        id="BackupPart",
    ),
    pytest.param(
        RestoreTaken(ID, revision=7, secrets=2, grants=1),
        {"restore": str(ID), "revision": 7, "secrets": 2, "grants": 1, "damaged": None},
        id="RestoreTaken",
    ),
]


@pytest.mark.parametrize(("reply", "spelt"), JSON_OF_REPLIES)
def test_json_has_the_names_of_the_operations(reply: Reply, spelt: dict[str, object]) -> None:
    assert json.loads(output.as_json(reply)) == spelt


def test_every_reply_has_its_json_tested() -> None:
    tested = {type(case.values[0]) for case in JSON_OF_REPLIES}

    assert tested == {row.reply for row in OPERATIONS}


def test_the_json_of_a_list_is_an_array() -> None:
    assert [entry["secret"] for entry in json.loads(output.as_json([ENTRY, ENTRY]))] == [str(ID), str(ID)]


def test_a_list_looks_as_in_virsh() -> None:
    unused = Entry(secret=ID, digest=DIGEST, ephemeral=False, private=False, has_value=False)

    assert output.entries_table([ENTRY, unused]).splitlines() == [
        " UUID                                   Usage",
        "-" * (1 + 36 + 3 + len("ceph client.one") + 1),
        f" {ID}   ceph client.one",
        f" {ID}   Unused",
    ]


def test_a_long_list_has_the_flags_of_each() -> None:
    assert output.entries_table([ENTRY], long=True).splitlines() == [
        " UUID                                   Value   Ephemeral   Private   Usage",
        "-" * (1 + 36 + 3 + 5 + 3 + 9 + 3 + 7 + 3 + len("ceph client.one") + 1),
        f" {ID}   yes     no          yes       ceph client.one",
    ]


def test_a_secret_alone_has_a_line_for_each_part() -> None:
    assert output.entry_table(ENTRY).splitlines() == [
        f" UUID:        {ID}",
        " Usage:       ceph client.one",
        " Value:       yes",
        " Ephemeral:   no",
        " Private:     yes",
        f" Digest:      {DIGEST}",
    ]


@pytest.mark.parametrize(
    ("usage_id", "shown"),
    [
        pytest.param("[red]x[/red] :smile:", "[red]x[/red] :smile:", id="no-markup"),
        pytest.param("a\nb\tc", "a\\nb\\tc", id="one-line"),
        pytest.param("a\x9b2Jb", "a\\x9b2Jb", id="control"),
        pytest.param("a\u202eb", "a\\u202eb", id="written-backwards"),
        pytest.param("/l\u00e4nger/\u65e5\u672c", "/l\u00e4nger/\u65e5\u672c", id="any-script"),
        pytest.param("x" * 4_096, "x" * 4_096, id="never-cut"),
    ],
)
def test_a_usage_id_is_shown_whole_and_on_its_line(usage_id: str, shown: str) -> None:
    usage = Usage(UsageType.VOLUME, usage_id)
    entry = Entry(secret=ID, digest=DIGEST, ephemeral=False, private=False, has_value=False, usage=usage)

    assert output.entries_table([entry]).splitlines()[2:] == [f" {ID}   volume {shown}"]


def test_fields_that_are_known_have_a_line_each() -> None:
    status = DaemonStatus(
        "1.2", Mode.SYSTEM, SealState.SEALED, reason="why", slots=(Slot(SlotKind.CREDENTIAL), Slot(SlotKind.LOCAL_FILE))
    )

    assert output.fields_table(status).splitlines() == [
        " version            1.2",
        " mode               system",
        " state              sealed",
        " reason             why",
        " slots              credential, local-file",
        " memory-wiping      no",
        " memory-locked      no",
        " peer-handles       no",
        " peer-executables   no",
    ]


def test_grants_have_a_line_each() -> None:
    just_before, at_the_end = (datetime(2027, 12, 31, 23, 59, second, tzinfo=UTC) for second in (58, 59))
    root = replace(GRANT, principal=Principal(PrincipalKind.GROUP, 0), expires=None, scopes=(EverySecret(),))
    nobody = replace(root, principal=Principal(PrincipalKind.USER, LARGEST_ID))

    assert output.grants_table([root, nobody], just_before).splitlines() == [
        " Name   Who               May                   Until   Of",
        "------------------------------------------------------------",
        " web    group root (0)    getattr,read-secure   -       all",
        f" web    user {LARGEST_ID}   getattr,read-secure   -       all",
    ]
    for now, until in ((just_before, ""), (at_the_end, ", which is past")):
        (line,) = output.grants_table([GRANT], now, headed=False).splitlines()
        assert line.startswith(" web   unit nginx.service running /usr/sbin/nginx   getattr,read-secure   2027-12-31T")
        assert line.endswith(f"T23:59:59Z{until}   tls web/*, secret {ID}, all")


def test_yes_no_and_none_are_said_in_words() -> None:
    you = You(uid=7, gid=8, pid=9, read_only=True, elevated=False, groups=())

    assert output.fields_table(you).splitlines() == [
        " uid         7",
        " gid         8",
        " pid         9",
        " read-only   yes",
        " elevated    no",
        " groups      none",
    ]


def test_from_where_a_field_is_known_has_a_column_of_its_own() -> None:
    you = You(uid=7, gid=8, pid=9, read_only=True, elevated=False, unit="nginx.service")

    assert output.fields_table(you, {"uid": "the kernel", "unit": "systemd"}).splitlines() == [
        " What        Known from   Is",
        "----------------------------------------",
        " uid         the kernel   7",
        " gid                      8",
        " pid                      9",
        " read-only                yes",
        " elevated                 no",
        " unit        systemd      nginx.service",
        " groups                   none",
    ]


def test_what_may_be_done_is_shown_with_by_what() -> None:
    held = (
        Held(Permission.READ, owner=True),
        Held(Permission.SAVE, owner=False, grants=(NamedGrant("web"), NamedGrant("look"))),
    )

    assert output.held_table(held).splitlines() == [
        " May    By",
        "--------------------------",
        " read   the owner's right",
        " save   web, look",
    ]


def test_what_a_request_needs_is_shown_with_by_what() -> None:
    needs = (
        Need(NeededOn.AS_IT_IS, True, False, Permission.GETATTR, (NamedGrant("look"),)),
        Need(NeededOn.AS_IT_WOULD_BE, False, False, Permission.SAVE),
        Need(NeededOn.SOMETHING, True, True),
    )

    assert output.needs_table(needs).splitlines() == [
        " Permission   On                          Held   By",
        "-------------------------------------------------------------------",
        " getattr      the secret as it is         yes    look",
        " save         the secret as it would be   no     -",
        " any          something                   yes    the owner's right",
    ]


@given(description=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), min_size=1, max_size=40))
def test_xml_that_is_safe_to_look_at_means_the_same(description: str) -> None:
    document = SecretDocument(Attributes(description=description), ID)
    shown = output.as_xml(document)

    assert not any("\x7f" <= char <= "\x9f" for char in shown)
    assert read_secret(shown.encode()) == document


def test_the_table_of_nothing_is_its_head() -> None:
    assert output.entries_table([]).splitlines() == [" UUID   Usage", "--------------"]
