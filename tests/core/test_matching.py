"""What grants mean: made ready, and held against a second, naive reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from datetime import UTC, datetime
from itertools import islice, product
from random import Random
from uuid import UUID

import pytest

from helpers.naive_grants import naive_allows
from helpers.random_grants import NOW, FixedProcess, differences, random_caller, random_grants, random_targets
from secretd import limits
from secretd.core import matching, patterns
from secretd.core.access import EVERYTHING, AnyTarget, KeyTarget, Target
from secretd.core.matching import Rules
from secretd.grants import (
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
)
from secretd.keys import KeyId, Tag
from secretd.model import Attributes, Caller, Executable, Permission, Unit, Usage, UsageType

CEPH, VOLUME = UsageType.CEPH, UsageType.VOLUME

# Whom, what, and until when.

SECRET, OTHER = UUID(int=7), UUID(int=8)
NGINX, SHELL = Executable("/usr/sbin/nginx", trusted=True), Executable("/usr/bin/a", trusted=True)
CONTENT = "c" * 64
READ = Permission.READ


def user(number: int = 1000, executable: ExecutableIs | None = None) -> Principal:
    return Principal(PrincipalKind.USER, number, executable=executable)


def unit(executable: ExecutableIs | None = None) -> Principal:
    return Principal(PrincipalKind.UNIT, unit="nginx.service", executable=executable)


def rules(
    principal: Principal | None = None,
    permissions: frozenset[Permission] = frozenset({READ}),
    scope: Scope | None = None,
    expires: int | None = None,
) -> Rules:
    end = None if expires is None else datetime.fromtimestamp(expires, UTC)
    return Rules([Grant("g", None, principal or user(), permissions, (scope or EverySecret(),), end)])


def ask(asked: Rules, caller: Caller, permission: Permission = READ, target: AnyTarget = EVERYTHING) -> bool:
    answer = asked.allows(caller, permission, target, NOW)
    assert any(asked.granting(caller, permission, target, NOW)) is answer
    return answer


def caller(
    process: FixedProcess | None = None, *, uid: int = 1000, gid: int = 10, groups: tuple[int, ...] = ()
) -> Caller:
    return Caller(uid, gid, 1, groups, process=process)


@pytest.mark.parametrize(
    ("principal", "who", "expected"),
    [
        pytest.param(user(), caller(), True, id="user"),
        pytest.param(user(), caller(uid=1001), False, id="another-user"),
        pytest.param(user(10), caller(), False, id="a-gid-is-no-uid"),
        pytest.param(Principal(PrincipalKind.GROUP, 10), caller(), True, id="primary-group"),
        pytest.param(Principal(PrincipalKind.GROUP, 20), caller(groups=(30, 20)), True, id="supplementary-group"),
        pytest.param(Principal(PrincipalKind.GROUP, 20), caller(groups=(30,)), False, id="another-group"),
        pytest.param(Principal(PrincipalKind.GROUP, 1000), caller(), False, id="a-uid-is-no-gid"),
        pytest.param(Principal(PrincipalKind.ANYONE), caller(uid=65534), True, id="anyone"),
        pytest.param(unit(), caller(FixedProcess(Unit("nginx.service"))), True, id="unit"),
        pytest.param(unit(), caller(FixedProcess(Unit("nginx.service.service"))), False, id="another-unit"),
        pytest.param(unit(), caller(FixedProcess()), False, id="no-unit"),
        pytest.param(unit(), caller(), False, id="no-handle"),
        pytest.param(user(1000, ExecutableIs(NGINX.path)), caller(FixedProcess(None, NGINX)), True, id="executable"),
        pytest.param(
            user(1000, ExecutableIs(NGINX.path)), caller(FixedProcess(None, NGINX), uid=1), False, id="only-narrows"
        ),
        pytest.param(
            user(1000, ExecutableIs(NGINX.path)), caller(FixedProcess(None, SHELL)), False, id="another-executable"
        ),
        pytest.param(
            user(1000, ExecutableIs(NGINX.path)),
            caller(FixedProcess(None, Executable(NGINX.path, trusted=False))),
            False,
            id="not-trusted",
        ),
        pytest.param(user(1000, ExecutableIs(NGINX.path)), caller(FixedProcess()), False, id="executable-unknown"),
        pytest.param(user(1000, ExecutableIs(NGINX.path)), caller(), False, id="executable-and-no-handle"),
        pytest.param(
            unit(ExecutableIs(NGINX.path, CONTENT)),
            caller(FixedProcess(Unit("nginx.service"), NGINX, CONTENT)),
            True,
            id="content",
        ),
        pytest.param(
            unit(ExecutableIs(NGINX.path, CONTENT)),
            caller(FixedProcess(Unit("nginx.service"), NGINX, "d" * 64)),
            False,
            id="another-content",
        ),
        pytest.param(
            unit(ExecutableIs(NGINX.path, CONTENT)),
            caller(FixedProcess(Unit("nginx.service"), NGINX)),
            False,
            id="content-unknown",
        ),
    ],
)
def test_a_principal(principal: Principal, who: Caller, expected: bool) -> None:
    assert ask(rules(principal), who) is expected


def volume(usage_id: str = "/srv/a", secret: UUID = SECRET) -> Target:
    return Target(secret, Attributes(Usage(VOLUME, usage_id)))


NO_USAGE = Target(SECRET, Attributes())


@pytest.mark.parametrize(
    ("scope", "target", "expected"),
    [
        pytest.param(EverySecret(), EVERYTHING, True, id="all-of-all"),
        pytest.param(EverySecret(), volume(), True, id="one-of-all"),
        pytest.param(EverySecret(), None, True, id="something-of-all"),
        pytest.param(ThatSecret(SECRET), volume(), True, id="by-id"),
        pytest.param(ThatSecret(SECRET), volume(secret=OTHER), False, id="by-another-id"),
        pytest.param(ThatSecret(SECRET), EVERYTHING, False, id="an-id-is-not-all"),
        pytest.param(ThatSecret(SECRET), None, True, id="an-id-is-something"),
        pytest.param(UsageLike(VOLUME), volume("/srv/../a//"), True, id="any-of-a-type"),
        pytest.param(UsageLike(UsageType.TLS), volume(), False, id="another-type"),
        pytest.param(UsageLike(UsageType.NONE), NO_USAGE, True, id="without-a-usage"),
        pytest.param(UsageLike(UsageType.NONE), volume(), False, id="not-without"),
        pytest.param(UsageLike(VOLUME), NO_USAGE, False, id="without-a-usage-is-of-no-type"),
        pytest.param(UsageLike(VOLUME), EVERYTHING, False, id="a-type-is-not-all"),
        pytest.param(UsageLike(VOLUME, "/srv/a"), volume(), True, id="exact"),
        pytest.param(UsageLike(VOLUME, "/srv/*"), volume(), True, id="pattern"),
        pytest.param(UsageLike(VOLUME, "/etc/*"), volume(), False, id="another-pattern"),
        pytest.param(UsageLike(UsageType.TLS, "/srv/*"), volume(), False, id="a-pattern-of-another-type"),
        pytest.param(UsageLike(VOLUME, "/**"), EVERYTHING, False, id="a-pattern-is-not-all"),
        pytest.param(UsageLike(VOLUME, "/etc/*"), None, True, id="a-pattern-is-something"),
    ],
)
def test_a_scope(scope: Scope, target: AnyTarget, expected: bool) -> None:
    assert ask(rules(scope=scope), caller(), target=target) is expected


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        pytest.param(frozenset({Permission.READ}), {Permission.READ}, id="one"),
        pytest.param(frozenset({Permission.WRITE}), {Permission.WRITE, Permission.APPEND}, id="write-is-append-too"),
        pytest.param(frozenset({Permission.APPEND}), {Permission.APPEND}, id="append-is-not-write"),
        pytest.param(PERMISSIONS_OF[PermissionSet.ALL], OF_SECRETS - {Permission.ADMIN}, id="all-but-admin"),
        pytest.param(frozenset({Permission.ADMIN}), {Permission.ADMIN}, id="admin-alone"),
    ],
)
@pytest.mark.parametrize("target", [None, EVERYTHING, volume()], ids=["something", "everything", "a-secret"])
def test_permissions(permissions: frozenset[Permission], allowed: Set[Permission], target: AnyTarget) -> None:
    asked = rules(permissions=permissions)
    assert {one for one in Permission if ask(asked, caller(), one, target)} == allowed


NIGHTLY, WEEKLY = KeyId("nightly"), KeyId("weekly")
PROD, TEST = Tag("env", "prod"), Tag("env", "test")


def key(its_id: KeyId | None = NIGHTLY, *tags: Tag) -> KeyTarget:
    return KeyTarget(its_id, frozenset(tags))


@pytest.mark.parametrize(
    ("scope", "target", "expected"),
    [
        pytest.param(EveryKey(), key(), True, id="one-of-all"),
        pytest.param(EveryKey(), key(None), True, id="whichever-of-all"),
        pytest.param(EveryKey(), None, True, id="something-of-all"),
        pytest.param(EveryKey(), EVERYTHING, False, id="every-key-is-no-secret"),
        pytest.param(EveryKey(), volume(), False, id="a-secret-is-no-key"),
        pytest.param(ThatKey(NIGHTLY), key(), True, id="by-id"),
        pytest.param(ThatKey(NIGHTLY), key(WEEKLY), False, id="by-another-id"),
        pytest.param(ThatKey(NIGHTLY), key(None), False, id="whichever-is-not-that-one"),
        pytest.param(ThatKey(NIGHTLY), None, True, id="an-id-is-something"),
        pytest.param(ThatKey(KeyId(str(SECRET))), volume(secret=SECRET), False, id="the-same-id-of-a-secret"),
        pytest.param(KeyLike("*ly"), key(), True, id="pattern"),
        pytest.param(KeyLike("n*"), key(WEEKLY), False, id="another-pattern"),
        pytest.param(KeyLike("*"), key(None), False, id="whichever-is-in-no-pattern"),
        pytest.param(KeyLike("nightly"), key(), True, id="pattern-without-a-star"),
        pytest.param(KeyTagged(PROD), key(NIGHTLY, PROD, Tag("of", "web")), True, id="tag"),
        pytest.param(KeyTagged(PROD), key(None, PROD), True, id="tag-of-whichever"),
        pytest.param(KeyTagged(PROD), key(NIGHTLY, TEST), False, id="another-text"),
        pytest.param(KeyTagged(PROD), key(NIGHTLY, Tag("stage", "prod")), False, id="another-name"),
        pytest.param(KeyTagged(PROD), key(), False, id="no-tag"),
    ],
)
def test_a_scope_of_keys(scope: Scope, target: AnyTarget, expected: bool) -> None:
    decrypt = frozenset({Permission.GETATTR, Permission.DECRYPT})
    asked = rules(scope=scope, permissions=decrypt)
    assert {ask(asked, caller(), one, target) for one in decrypt} == {expected}


@pytest.mark.parametrize("scope", [EverySecret(), UsageLike(UsageType.NONE), ThatSecret(SECRET)])
def test_no_scope_of_secrets_reaches_a_key(scope: Scope) -> None:
    permissions = OF_SECRETS if scope == EverySecret() else OF_SECRETS - {Permission.ADMIN}
    asked = rules(scope=scope, permissions=permissions)
    for permission, target in product(Permission, (key(), key(None, PROD), key(KeyId(str(SECRET))))):
        assert not ask(asked, caller(), permission, target)


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [
        pytest.param(Permission.GENERATE, {"generate", "generate-wrapped"}, id="generate-is-wrapped-too"),
        pytest.param(Permission.GENERATE_WRAPPED, {"generate-wrapped"}, id="wrapped-alone"),
        pytest.param(Permission.KEY_ADMIN, {"key-admin"}, id="to-administer-is-not-to-use"),
    ],
)
def test_permissions_on_keys(permission: Permission, allowed: set[str]) -> None:
    asked = rules(scope=EveryKey(), permissions=frozenset({permission}))
    assert {one.value for one in Permission if ask(asked, caller(), one, key())} == allowed


@pytest.mark.parametrize("target", [None, EVERYTHING, volume()], ids=["something", "everything", "a-secret"])
@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        pytest.param(None, True, id="never"),
        pytest.param(NOW + 1, True, id="the-last-second"),
        pytest.param(NOW, False, id="from-that-moment-on"),
        pytest.param(NOW - 1, False, id="long-ago"),
    ],
)
def test_the_end_of_a_grant(expires: int | None, expected: bool, target: AnyTarget) -> None:
    assert ask(rules(expires=expires), caller(), target=target) is expected


def test_nothing_is_granted_where_there_are_no_grants() -> None:
    for permission, target in product(Permission, (None, EVERYTHING, volume())):
        assert not ask(Rules(), Caller(0, 0, 1), permission, target)


def test_grants_add_up_and_none_takes_away() -> None:
    wide = Grant("wide", None, user(), frozenset({READ}), (UsageLike(VOLUME, "/srv/*"),))
    ended = Grant(
        "ended", None, user(), frozenset({READ}), (UsageLike(VOLUME, "/srv/*"),), datetime(2000, 1, 1, tzinfo=UTC)
    )
    for grants in ([wide, ended], [ended, wide]):
        assert ask(Rules(grants), caller(), target=volume())


def test_the_grants_that_allow_are_named() -> None:
    narrow = Grant("narrow", None, user(), frozenset({READ}), (ThatSecret(OTHER),))
    wide = Grant("wide", None, Principal(PrincipalKind.ANYONE), frozenset({READ}), (UsageLike(VOLUME),))
    asked = Rules([narrow, wide])
    assert asked.grants == (narrow, wide)
    assert list(asked.granting(caller(), READ, volume(), NOW)) == [wide]
    assert list(asked.granting(caller(), READ, volume(secret=OTHER), NOW)) == [narrow, wide]
    assert list(asked.granting(caller(), READ, NO_USAGE, NOW)) == []


# What it costs, counted.


def for_user(number: int, *patterns: str) -> Grant:
    return Grant(f"g{number}", None, user(number), frozenset({READ}), tuple(UsageLike(CEPH, one) for one in patterns))


def ceph(usage_id: str) -> Target:
    return Target(SECRET, Attributes(Usage(CEPH, usage_id)))


def test_a_pattern_is_compiled_once_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = [chr(0x4E00 + number) for number in range(130)]
    texts = [f"*{one}*{two}*" for one, two in product(letters, letters)]
    some = [texts[start : start + limits.GRANT_SCOPES] for start in range(0, len(texts), limits.GRANT_SCOPES)]
    grants = [for_user(1000 + number % 2, *its) for number, its in enumerate(some)]
    compiled: list[str] = []

    def expression(pattern: str) -> re.Pattern[str]:
        compiled.append(pattern)
        return re.compile("no such id")

    monkeypatch.setattr(patterns, "_expression", expression)
    asked = Rules(grants)
    for _ in range(3):
        for who, permission in product((caller(), caller(uid=1001)), (READ, Permission.GETATTR)):
            assert not asked.allows(who, permission, ceph("".join(letters)), NOW)
        asked = Rules([*grants[1:], for_user(1000, "more")], asked)
    assert sorted(compiled) == sorted(texts)


def test_a_pattern_that_begins_or_ends_otherwise_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []

    def matches_none(pattern: patterns.Pattern, _usage_id: str) -> bool:
        looked_at.append(pattern._text)
        return False

    monkeypatch.setattr(patterns.Pattern, "matches", matches_none)
    asked = Rules(
        [for_user(1000, f"*.{number}", f"host{number}/*", f"host{number}/*.{number}") for number in range(1_000)]
    )
    assert not asked.allows(caller(), READ, ceph("host7/disk.12"), NOW)
    assert sorted(looked_at) == ["*.12", "host7/*"]


class CountedGroups(tuple[int, ...]):
    """Groups that count how often somebody walks through them."""

    __slots__ = ()
    walks = 0

    def __iter__(self) -> Iterator[int]:
        CountedGroups.walks += 1
        return super().__iter__()


def test_a_caller_in_many_groups_is_found_once_for_each_change_of_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountedGroups, "walks", 0)
    many = caller(groups=CountedGroups(range(65_536)))
    grants = [Grant("g", None, Principal(PrincipalKind.GROUP, 65_535), frozenset({READ}), (UsageLike(CEPH, "a*"),))]
    asked = Rules(grants)
    for number, permission in product(range(100), Permission):
        allowed = asked.allows(many, permission, ceph(f"a{number}"), NOW)
        assert allowed is (permission is READ)
    assert CountedGroups.walks == 1
    assert not Rules([], asked).allows(many, READ, None, NOW)
    assert Rules(grants, asked).allows(many, READ, None, NOW)
    assert CountedGroups.walks == 2, "without a grant for a group nobody's groups are looked at"


def test_a_change_makes_ready_only_whom_it_concerns(monkeypatch: pytest.MonkeyPatch) -> None:
    really, made = matching._Holding, []

    def holding(grants: tuple[Grant, ...]) -> matching._Holding:
        made.append([grant.name for grant in grants])
        return really(grants)

    monkeypatch.setattr(matching, "_Holding", holding)
    grants = [for_user(number, "a*") for number in range(1000, 1010)]
    asked = Rules(grants)
    assert made == []
    for number in (1000, 1001):
        assert asked.allows(caller(uid=number), READ, ceph("a"), NOW)
    added = Grant("added", None, user(1001), frozenset({READ}), (UsageLike(CEPH, "b"),))
    asked = Rules([*grants, added], asked)
    for number in (1000, 1001):
        assert asked.allows(caller(uid=number), READ, ceph("b"), NOW) is (number == 1001)
    assert made == [["g1000"], ["g1001"], ["g1001", "added"]]


def test_what_several_permissions_reach_alike_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    really, made = matching._Holding, []

    def holding(grants: tuple[Grant, ...]) -> matching._Holding:
        made.append([grant.name for grant in grants])
        return really(grants)

    monkeypatch.setattr(matching, "_Holding", holding)
    both = frozenset({READ, Permission.GETATTR})
    wide = Grant("wide", None, user(), both, (UsageLike(CEPH),))
    narrow = Grant("narrow", None, user(), frozenset({READ}), (UsageLike(VOLUME),))
    for grants, expected in (([wide], [["wide"]]), ([wide, narrow], [["wide"], ["wide", "narrow"]])):
        made.clear()
        asked = Rules(grants)
        held = {permission for permission in Permission if asked.allows(caller(), permission, ceph("a"), NOW)}
        assert held == both
        assert sorted(made, key=len) == expected


class CountedPermissions(frozenset[Permission]):
    """Permissions of which is counted how often anybody looks at them."""

    looks = 0

    def __contains__(self, permission: object) -> bool:
        CountedPermissions.looks += 1
        return super().__contains__(permission)


def test_who_wants_the_first_of_many_grants_does_not_pay_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountedPermissions, "looks", 0)
    given = CountedPermissions({READ})
    grants = [Grant(f"g{number}", None, user(), given, (UsageLike(CEPH, f"a{number}*"),)) for number in range(1_000)]
    asked, before = Rules(grants), CountedPermissions.looks
    granting = asked.granting(caller(), READ, None, NOW)
    assert [grant.name for grant in islice(granting, 5)] == [f"g{number}" for number in range(5)]
    assert 0 < CountedPermissions.looks - before <= 5 * 2, "each is asked for this permission, and for write"


def test_to_name_grants_for_anything_makes_none_ready_and_for_a_secret_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    really, made = matching._Reach, []

    def reach() -> matching._Reach:
        made.append(really())
        return made[-1]

    monkeypatch.setattr(matching, "_Reach", reach)
    asked = Rules([for_user(1000, "a*"), for_user(1000, "b*")])
    assert len(list(asked.granting(caller(), READ, None, NOW))) == 2
    assert made == []
    for _ in range(2):
        assert len(list(asked.granting(caller(), READ, ceph("a"), NOW))) == 1
    assert len(made) == 2


def test_rules_made_from_others_are_of_one_mind_with_new_ones() -> None:
    random = Random(7)
    before = Rules()
    for _ in range(500):
        kept = [grant for grant in before.grants if random.random() < 0.7]
        asked, who = Rules([*kept, *random_grants(random)], before), random_caller(random)
        for target, permission in product(random_targets(random), Permission):
            expected = naive_allows(asked.grants, who, permission, target, NOW)
            assert asked.allows(who, permission, target, NOW) is expected
            assert any(asked.granting(who, permission, target, NOW)) is expected
        before = asked


# What is asked of the caller's process, and when.


@pytest.mark.parametrize(
    ("grants", "target", "asked"),
    [
        pytest.param([user()], volume(), set(), id="nothing-turns-on-it"),
        pytest.param([user(1001), user(1001, ExecutableIs("/a"))], volume(), set(), id="for-another-user"),
        pytest.param([user(), unit(), user(1000, ExecutableIs("/a"))], volume(), set(), id="allowed-without-it"),
        pytest.param([unit()], volume(), {"unit"}, id="a-unit"),
        pytest.param([user(1000, ExecutableIs(NGINX.path))], volume(), {"executable"}, id="an-executable"),
        pytest.param(
            [user(1000, ExecutableIs("/a", CONTENT))], volume(), {"executable"}, id="content-of-another-executable"
        ),
        pytest.param([user(1000, ExecutableIs(NGINX.path, CONTENT))], volume(), {"executable", "sha256"}, id="content"),
        pytest.param(
            [user(1000, ExecutableIs(NGINX.path, CONTENT)), user(1000, ExecutableIs(NGINX.path))],
            volume(),
            {"executable"},
            id="any-content-does",
        ),
        pytest.param([user(1000, ExecutableIs(NGINX.path))], volume("/x"), set(), id="out-of-its-scope"),
    ],
)
def test_a_process_is_asked_only_what_a_grant_turns_on(
    grants: list[Principal], target: Target, asked: set[str]
) -> None:
    process = FixedProcess(Unit("sshd.service"), NGINX, CONTENT)
    made = [
        Grant(f"g{number}", None, principal, frozenset({READ}), (UsageLike(VOLUME, "/srv/*"),))
        for number, principal in enumerate(grants)
    ]
    Rules(made).allows(caller(process), READ, target, NOW)
    assert set(process.asked) == asked


def test_a_permission_that_nothing_grants_asks_nothing() -> None:
    process = FixedProcess(Unit("nginx.service"), NGINX, CONTENT)
    assert not rules(unit()).allows(caller(process), Permission.DELETE, volume(), NOW)
    assert not process.asked


# Held against the naive reading. ``python -m helpers.random_grants 100000`` is the long form.


@pytest.mark.parametrize("seed", range(4))
def test_random_pairs_of_a_caller_and_grants(seed: int) -> None:
    found, agreed = differences(1_500, seed)
    assert found == []
    assert min(agreed[True], agreed[False]) > 1_000, "a comparison of nothing but denials would show little"


def test_the_grants_that_are_named_are_those_that_allow_by_themselves() -> None:
    random = Random(6)
    named = 0
    for _ in range(500):
        asked, who = Rules(random_grants(random)), random_caller(random)
        for target, permission in product(random_targets(random), Permission):
            granting = list(asked.granting(who, permission, target, NOW))
            assert granting == [one for one in asked.grants if Rules([one]).allows(who, permission, target, NOW)]
            assert bool(granting) is asked.allows(who, permission, target, NOW)
            named += len(granting)
    assert named > 100
