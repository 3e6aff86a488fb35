"""The nouns of grants: what docs/access.md refuses cannot be made, and its tables are those in force."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.access_page import named, table
from secretd import limits
from secretd.errors import InvalidDocumentError
from secretd.grants import (
    INTERPRETERS,
    LARGEST_ID,
    OF_KEYS,
    OF_SECRETS,
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
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
    is_interpreter,
    is_plain_path,
)
from secretd.keys import KeyId, Tag
from secretd.model import Permission, UsageType
from secretd.moments import format_time, parse_time

USER, GROUP, UNIT, ANYONE = PrincipalKind
NGINX = ExecutableIs("/usr/sbin/nginx")
TLS = UsageType.TLS


def grant(
    name: str = "web",
    description: str | None = None,
    permissions: frozenset[Permission] = frozenset({Permission.READ}),
    scopes: tuple[Scope, ...] = (EverySecret(),),
    expires: datetime | None = None,
) -> Grant:
    return Grant(name, description, Principal(ANYONE), permissions, scopes, expires)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: grant("a"), id="name-of-one"),
        pytest.param(lambda: grant("A.b_c-9"), id="name-of-all-kinds"),
        pytest.param(lambda: grant("n" * limits.GRANT_NAME_CHARACTERS), id="longest-name"),
        pytest.param(lambda: grant(description="d" * limits.GRANT_DESCRIPTION_BYTES), id="longest-description"),
        pytest.param(lambda: grant(permissions=OF_SECRETS), id="every-permission-of-secrets"),
        pytest.param(lambda: grant(permissions=OF_KEYS, scopes=(EveryKey(),)), id="every-permission-of-keys"),
        pytest.param(
            lambda: grant(permissions=frozenset(Permission), scopes=(EverySecret(), EveryKey())), id="every-permission"
        ),
        pytest.param(lambda: ThatKey(KeyId("_.-")), id="shortest-name-of-a-key"),
        pytest.param(lambda: ThatKey(KeyId(str(UUID(int=10)))), id="uuid-of-a-key"),
        pytest.param(lambda: KeyLike("*"), id="any-pattern-for-keys"),
        pytest.param(lambda: KeyLike("a" * limits.KEY_PATTERN_CHARACTERS), id="longest-pattern-for-keys"),
        pytest.param(
            lambda: grant(
                permissions=OF_KEYS,
                scopes=tuple(
                    KeyTagged(Tag(f"{n:02}", "x" * (limits.GRANT_PATTERNS_BYTES // 64 - 2))) for n in range(64)
                ),
            ),
            id="most-tags",
        ),
        pytest.param(
            lambda: grant(permissions=frozenset({Permission.ADMIN}), scopes=(UsageLike(TLS), EverySecret())),
            id="admin-of-all-and-more",
        ),
        pytest.param(
            lambda: grant(scopes=tuple(ThatSecret(UUID(int=n)) for n in range(limits.GRANT_SCOPES))), id="most-scopes"
        ),
        pytest.param(lambda: grant(expires=datetime(1, 1, 1, tzinfo=UTC)), id="ended-long-ago"),
        pytest.param(lambda: Principal(USER, 1), id="user"),
        pytest.param(lambda: Principal(USER, LARGEST_ID, None, NGINX), id="largest-user"),
        pytest.param(lambda: Principal(GROUP, 0), id="root's-group"),
        pytest.param(lambda: Principal(UNIT, unit="nginx.service"), id="unit"),
        pytest.param(lambda: Principal(UNIT, unit="a@b\\x2dc:d.service", executable=NGINX), id="unit-of-a-template"),
        pytest.param(lambda: Principal(UNIT, unit="u" * 247 + ".service"), id="longest-unit"),
        pytest.param(lambda: ExecutableIs("/a", "0" * 64), id="executable-with-content"),
        pytest.param(lambda: ExecutableIs("/" + "a" * (limits.GRANT_PATH_BYTES - 1)), id="longest-path"),
        pytest.param(lambda: UsageLike(UsageType.NONE), id="no-usage"),
        pytest.param(lambda: UsageLike(TLS, "*"), id="any-pattern"),
        pytest.param(lambda: UsageLike(TLS, "../*//"), id="no-path"),
        pytest.param(lambda: UsageLike(UsageType.VOLUME, "/**"), id="every-volume-that-is-well-spelt"),
        pytest.param(lambda: UsageLike(TLS, "p" * limits.USAGE_ID_BYTES), id="longest-pattern"),
    ],
)
def test_what_can_be_made(make: Callable[[], object]) -> None:
    assert make() == make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: grant(""), "a name has 1 to 64", id="no-name"),
        pytest.param(lambda: grant("n" * 65), "a name has 1 to 64", id="long-name"),
        pytest.param(lambda: grant(".web"), "begins with a letter or a digit", id="name-that-hides"),
        pytest.param(lambda: grant("-web"), "begins with a letter or a digit", id="name-like-an-option"),
        pytest.param(lambda: grant("web\n"), "a name has", id="name-with-a-newline"),
        pytest.param(lambda: grant("w/b"), "a name has", id="name-with-a-slash"),
        pytest.param(lambda: grant("w\u00e9b"), "a name has", id="name-not-in-ascii"),
        pytest.param(lambda: grant(description="d" * 1_025), "a description may have at most 1024", id="description"),
        pytest.param(lambda: grant(description="\0"), "a description holds a character", id="description-no-xml"),
        pytest.param(lambda: grant(permissions=frozenset()), "one permission at least", id="no-permission"),
        pytest.param(lambda: grant(scopes=()), "one scope at least", id="no-scope"),
        pytest.param(lambda: grant(scopes=(UsageLike(TLS),) * 2), "a scope is named twice", id="scope-twice"),
        pytest.param(
            lambda: grant(scopes=tuple(ThatSecret(UUID(int=n)) for n in range(65))), "at most 64 scopes", id="scopes"
        ),
        pytest.param(
            lambda: grant(scopes=(UsageLike(TLS, "a" * 4_096), UsageLike(TLS, "b" * 2_049))),
            "the patterns and tags of a grant may have at most 6144 bytes",
            id="patterns-too-long-together",
        ),
        pytest.param(
            lambda: grant(permissions=frozenset({Permission.ADMIN}), scopes=(UsageLike(TLS),)),
            "admin needs the scope of all secrets",
            id="admin-of-some",
        ),
        pytest.param(
            lambda: grant(
                permissions=OF_KEYS,
                scopes=tuple(KeyTagged(Tag(str(n), "x" * 256)) for n in range(24)),
            ),
            "the patterns and tags of a grant may have at most 6144 bytes",
            id="tags-too-long-together",
        ),
        pytest.param(
            lambda: grant(permissions=frozenset({Permission.GETATTR, Permission.ENCRYPT})),
            "the permission encrypt is for keys, and no scope is of keys",
            id="of-keys-over-secrets",
        ),
        pytest.param(
            lambda: grant(permissions=frozenset({Permission.GETATTR, Permission.READ_SECURE}), scopes=(EveryKey(),)),
            "the permission read-secure is for secrets, and no scope is of secrets",
            id="of-secrets-over-keys",
        ),
        pytest.param(
            lambda: grant(permissions=PERMISSIONS_OF[PermissionSet.ALL], scopes=(EveryKey(),)),
            "is for secrets, and no scope is of secrets",
            id="the-set-all-over-keys",
        ),
        pytest.param(
            lambda: grant(scopes=(EverySecret(), KeyLike("*"))),
            "a scope is of keys, and none of the permissions is for keys",
            id="scope-of-keys-for-nothing",
        ),
        pytest.param(
            lambda: grant(permissions=frozenset({Permission.DECRYPT}), scopes=(EverySecret(), EveryKey())),
            "a scope is of secrets, and none of the permissions is for secrets",
            id="scope-of-secrets-for-nothing",
        ),
        pytest.param(lambda: ThatKey(KeyId("ab")), "the id of a key is", id="short-key"),
        pytest.param(lambda: ThatKey(KeyId("a/b")), "the id of a key is", id="key-with-a-slash"),
        pytest.param(lambda: ThatKey(KeyId("A" * 8 + str(UUID(int=0))[8:])), "the id of a key is", id="upper-case-key"),
        pytest.param(lambda: KeyLike(""), "a pattern for keys has 1 to 64", id="empty-pattern-for-keys"),
        pytest.param(lambda: KeyLike("a" * 65), "a pattern for keys has 1 to 64", id="long-pattern-for-keys"),
        pytest.param(lambda: KeyLike("a*\n"), "a pattern for keys has", id="pattern-for-keys-with-a-newline"),
        pytest.param(lambda: KeyLike("caf\u00e9*"), "a pattern for keys has", id="pattern-for-keys-not-in-ascii"),
        pytest.param(lambda: grant(expires=datetime(2027, 1, 1)), "in UTC, to the second", id="no-zone"),  # noqa: DTZ001
        pytest.param(
            lambda: grant(expires=datetime(2027, 1, 1, tzinfo=timezone(timedelta(hours=1)))), "in UTC", id="zone"
        ),
        pytest.param(lambda: grant(expires=datetime(2027, 1, 1, 0, 0, 0, 1, UTC)), "to the second", id="microsecond"),
        pytest.param(lambda: Principal(USER), "named by a number", id="no-uid"),
        pytest.param(lambda: Principal(USER, 0), "root may do everything without a grant", id="root"),
        pytest.param(lambda: Principal(USER, -1), "one from 0 to 4294967294", id="negative"),
        pytest.param(lambda: Principal(USER, 2**32 - 1), "one from 0 to 4294967294", id="nobody-at-all"),
        pytest.param(lambda: Principal(USER, 33, "nginx.service"), "named by the name", id="user-and-unit"),
        pytest.param(lambda: Principal(UNIT), "named by the name", id="no-unit"),
        pytest.param(lambda: Principal(UNIT, 33, "nginx.service"), "named by a number", id="unit-and-number"),
        pytest.param(lambda: Principal(UNIT, unit="nginx"), "with '.service' at its end", id="unit-without-a-kind"),
        pytest.param(lambda: Principal(UNIT, unit="user-1000.slice"), "'.service'", id="no-service"),
        pytest.param(lambda: Principal(UNIT, unit=".service"), "'.service'", id="nothing-before-it"),
        pytest.param(lambda: Principal(UNIT, unit="a/b.service"), "'.service'", id="unit-with-a-slash"),
        pytest.param(lambda: Principal(UNIT, unit="a*.service"), "'.service'", id="no-pattern-for-units"),
        pytest.param(lambda: Principal(UNIT, unit="a.service\n"), "'.service'", id="unit-with-a-newline"),
        pytest.param(lambda: Principal(UNIT, unit="a@.service"), "name an instance", id="template"),
        pytest.param(lambda: Principal(UNIT, unit="user@1000.service"), "name the user", id="a-user's-manager"),
        pytest.param(
            lambda: Principal(UNIT, unit="user-runtime-dir@1.service"), "name the user", id="a-user's-directory"
        ),
        pytest.param(lambda: Principal(UNIT, unit="u" * 248 + ".service"), "'.service'", id="long-unit"),
        pytest.param(lambda: Principal(ANYONE, 33), "named by a number", id="anyone-and-number"),
        pytest.param(lambda: Principal(ANYONE, executable=NGINX), "an executable only narrows", id="executable-alone"),
        pytest.param(lambda: ExecutableIs("nginx"), "is absolute", id="relative"),
        pytest.param(lambda: ExecutableIs(""), "is absolute", id="no-path"),
        pytest.param(lambda: ExecutableIs("/usr/../nginx"), "is absolute", id="path-up"),
        pytest.param(lambda: ExecutableIs("/usr//nginx"), "is absolute", id="path-doubled"),
        pytest.param(lambda: ExecutableIs("/usr/sbin/"), "is absolute", id="directory"),
        pytest.param(lambda: ExecutableIs("/" + "a" * 1_024), "at most 1024 bytes", id="long-path"),
        pytest.param(lambda: ExecutableIs("/usr/bin/python3.11"), "is an interpreter", id="interpreter"),
        pytest.param(lambda: ExecutableIs("/a", "A" * 64), "64 lower-case hex digits", id="upper-case"),
        pytest.param(lambda: ExecutableIs("/a", "a" * 63), "64 lower-case hex digits", id="short-hash"),
        pytest.param(lambda: UsageLike(UsageType.NONE, "*"), "has no id", id="pattern-of-none"),
        pytest.param(lambda: UsageLike(TLS, ""), "matches nothing", id="empty-pattern"),
        pytest.param(lambda: UsageLike(TLS, "\x1b*"), "a pattern holds a character", id="pattern-no-xml"),
        pytest.param(lambda: UsageLike(TLS, "a" * 4_097), "a pattern may have at most 4096", id="long-pattern"),
        *(
            pytest.param(lambda p=pattern: UsageLike(UsageType.VOLUME, p), "begins with '/'", id=f"volume {pattern}")
            for pattern in (
                "*",
                "**",
                "srv/*",
                "/",
                "/srv/",
                "/srv/*/",
                "//*",
                "/srv/../*",
                "/srv/./*",
                "/srv/..",
                "/.",
            )
        ),
    ],
)
def test_what_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        make()
    assert message in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        *("python3", "python3.11-dbg", "perl5.36.0", "ruby3.1", "node", "nodejs", "node18", "lua5.4", "luajit"),
        *("sh", "bash", "dash", "zsh5", "fish", "ksh93", "busybox", "tclsh8.6", "php-fpm8.2", "java", "gawk"),
        *("qemu-x86_64", "qemu-x86_64-static", "qemu-aarch64", "qemu-arm-static", "vim.basic", "vi", "nvim", "box64"),
        *("env", "ld-linux-x86-64.so.2", "ld-2.36.so", "ld-musl-x86_64.so.1"),
    ],
)
def test_an_interpreter_is_known_by_its_name(name: str) -> None:
    assert is_interpreter(f"/usr/bin/{name}")


@pytest.mark.parametrize(
    "name",
    [
        *("nginx", "sshd", "node_exporter", "shutdown", "libvirtd", "PERL", "virsh"),
        *("qemu-system-x86_64", "qemu-img", "qemu-nbd", "qemu-io", "qemu-storage-daemon", "qemu-pr-helper", "qemu-ga"),
    ],
)
def test_other_names_are_no_interpreters(name: str) -> None:
    assert not is_interpreter(f"/usr/bin/{name}")


def test_an_interpreter_s_directory_is_no_interpreter() -> None:
    assert not is_interpreter("/usr/lib/python3/helper")
    assert len(set(INTERPRETERS)) == len(INTERPRETERS)


def test_the_sets_are_those_of_the_page() -> None:
    rows = {re.sub(r"[ `]", "", name): cell for name, cell in table("Ready-made sets")}
    assert {PermissionSet(name) for name in rows} == set(PermissionSet)
    assert PERMISSIONS_OF[PermissionSet.ALL] == OF_SECRETS - named(rows.pop("all"))
    for name, cell in rows.items():
        assert PERMISSIONS_OF[PermissionSet(name)] == named(cell.partition(":")[0]), name


def test_the_permissions_are_those_of_the_page() -> None:
    assert [re.sub(r"[ `]", "", name) for name, _ in table("## Permissions")] == [one.value for one in Permission]


def test_what_each_is_for_is_that_of_the_page() -> None:
    on = {Permission(re.sub(r"[ `]", "", name)): cell for name, cell in table("## Permissions")}
    assert {one for one, cell in on.items() if "secret" in cell} == OF_SECRETS
    assert {one for one, cell in on.items() if "key" in cell} == OF_KEYS


@pytest.mark.parametrize("ready_made", PermissionSet)
def test_each_set_is_for_secrets_or_for_keys(ready_made: PermissionSet) -> None:
    permissions = PERMISSIONS_OF[ready_made]
    of_keys = ready_made.value.startswith("key-")
    grant(permissions=permissions, scopes=(EveryKey() if of_keys else EverySecret(),))
    with pytest.raises(InvalidDocumentError, match=" is for "):
        grant(permissions=permissions, scopes=(EverySecret() if of_keys else EveryKey(),))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a", True, id="one-part"),
        pytest.param("/a/b.c/..d/.e/f..", True, id="dots-in-names"),
        pytest.param("/a\n/b", True, id="a-newline-is-a-character"),
        pytest.param("", False, id="empty"),
        pytest.param("/", False, id="the-root"),
        pytest.param("a", False, id="relative"),
        pytest.param("/a/", False, id="slash-at-the-end"),
        pytest.param("/a//b", False, id="doubled"),
        pytest.param("/a/.", False, id="here"),
        pytest.param("/./a", False, id="here-in-front"),
        pytest.param("/a/../b", False, id="up"),
        pytest.param("/..", False, id="up-at-the-end"),
    ],
)
def test_a_plain_path(path: str, expected: bool) -> None:
    assert is_plain_path(path) is expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2027-12-31T23:59:59z", id="lower-case"),
        pytest.param("2027-12-31T23:59:59+00:00", id="zone"),
        pytest.param("2027-12-31T23:59:59.0Z", id="fraction"),
        pytest.param("2027-12-31 23:59:59Z", id="space"),
        pytest.param("2027-12-31T23:59:60Z", id="leap-second"),
        pytest.param("2027-12-31T24:00:00Z", id="24-hours"),
        pytest.param("2027-02-29T00:00:00Z", id="no-such-day"),
        pytest.param("0000-01-01T00:00:00Z", id="no-such-year"),
        pytest.param("2027-12-31T23:59:59Z\n", id="newline"),
        pytest.param("\u0662\u0660\u0662\u0667-12-31T23:59:59Z", id="other-digits"),
        pytest.param("2027-W52-5T23:59:59Z", id="weeks"),
    ],
)
def test_no_moment(text: str) -> None:
    assert parse_time(text) is None


@given(moment=st.datetimes(max_value=datetime(9999, 12, 31)))  # noqa: DTZ001
def test_a_moment_comes_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0, tzinfo=UTC)
    assert parse_time(format_time(whole)) == whole
