"""Patterns as docs/access.md says, asked as requests ask them, and held against a second, naive reading."""

from __future__ import annotations

import time
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.naive_grants import naive_matches
from secretd import limits
from secretd.core.access import KeyTarget, Target
from secretd.core.matching import Rules
from secretd.core.patterns import pattern_of
from secretd.grants import Grant, KeyLike, Principal, PrincipalKind, UsageLike, is_plain_path
from secretd.keys import KeyId
from secretd.model import Attributes, Caller, Permission, Usage, UsageType

CEPH, VOLUME = UsageType.CEPH, UsageType.VOLUME
READ = Permission.READ


def matches(pattern: str, usage_type: UsageType, usage_id: str) -> bool:
    """Whether a grant for a pattern gives what it gives for the secret with this usage."""
    grant = Grant("g", None, Principal(PrincipalKind.ANYONE), frozenset({READ}), (UsageLike(usage_type, pattern),))
    target = Target(UUID(int=7), Attributes(Usage(usage_type, usage_id)))
    return Rules([grant]).allows(Caller(1000, 10, 1), READ, target, now=0.0)


def matches_key(pattern: str, key_id: str) -> bool:
    """The same of a key."""
    permissions = frozenset({Permission.DECRYPT})
    grant = Grant("g", None, Principal(PrincipalKind.ANYONE), permissions, (KeyLike(pattern),))
    target = KeyTarget(KeyId(key_id), frozenset())
    return Rules([grant]).allows(Caller(1000, 10, 1), Permission.DECRYPT, target, now=0.0)


@pytest.mark.parametrize(
    ("pattern", "usage_id", "expected"),
    [
        pytest.param("client.admin", "client.admin", True, id="itself"),
        pytest.param("client.admin", "client.admin2", False, id="longer"),
        pytest.param("client.admin", "client.admi", False, id="shorter"),
        pytest.param("client.admin", "clientxadmin", False, id="a-dot-is-a-dot"),
        pytest.param("client.*", "client.", True, id="a-star-for-nothing"),
        pytest.param("client.*", "client.admin", True, id="a-star-for-some"),
        pytest.param("client.*", "client.a/b", False, id="a-star-for-no-slash"),
        pytest.param("client.*", "xclient.a", False, id="from-the-beginning"),
        pytest.param("*.admin", "client.admin", True, id="in-front"),
        pytest.param("*.admin", "client.admin.admin", True, id="in-front-as-far-as-need-be"),
        pytest.param("*.admin", "client.administrator", False, id="to-the-end"),
        pytest.param("a*b*c", "aXbXbXc", True, id="two-stars"),
        pytest.param("a*b*c", "acb", False, id="in-order"),
        pytest.param("ab*ba", "aba", False, id="no-character-twice"),
        pytest.param("*a", "a", True, id="a-star-and-nothing-in-front"),
        pytest.param("*", "a/b", False, id="a-star-and-a-slash"),
        pytest.param("**", "a/b\nc", True, id="everything"),
        pytest.param("***", "a/b", True, id="three-stars"),
        pytest.param("web/**", "web/a/b", True, id="below"),
        pytest.param("web/**", "web/", True, id="below-and-nothing"),
        pytest.param("web/**", "web", False, id="not-itself"),
        pytest.param("**/key", "a/b/key", True, id="at-any-depth"),
        pytest.param("**/key", "key", False, id="at-any-depth-below"),
        pytest.param("**a*b/**c", "a/a/axb/xc", True, id="mixed"),
        pytest.param("**a*b", "ab/ab/axb", True, id="the-last-one-counts"),
        pytest.param("web/*", "web/a\nb", True, id="a-newline-is-a-character"),
        pytest.param("web/*", "web/a\n", True, id="a-newline-at-the-end"),
        pytest.param("web/a", "web/a\n", False, id="no-newline-is-forgiven"),
        pytest.param("web/*a", "web/a\n", False, id="nor-behind-a-star"),
        pytest.param("web/*", "Web/a", False, id="case"),
        pytest.param("web/*", "web%2Fa", False, id="percent-encoding-of-the-id"),
        pytest.param("web%2F*", "web/a", False, id="percent-encoding-of-the-pattern"),
        pytest.param("caf\u00e9*", "cafe\u0301s", False, id="decomposed"),
        pytest.param("cafe\u0301*", "caf\u00e9s", False, id="composed"),
        pytest.param("\uff41*", "a", False, id="full-width"),
        pytest.param("stra\u00dfe*", "strasse", False, id="sharp-s"),
        pytest.param("a*", "a*b", True, id="a-star-in-the-id"),
        pytest.param("a*b", "a*", False, id="a-star-in-the-id-is-no-pattern"),
        pytest.param("a\\*", "a*", False, id="there-is-no-escape"),
        pytest.param("a\\*", "a\\b", True, id="a-backslash-is-itself"),
        pytest.param("a[bc]?", "ab", False, id="nothing-else-is-special"),
        pytest.param("[a].?+(b|c)*", "[a].?+(b|c)x", True, id="not-even-what-expressions-have"),
        pytest.param("a/../*", "a/../b", True, id="no-path-but-a-volume"),
    ],
)
def test_a_pattern(pattern: str, usage_id: str, expected: bool) -> None:
    assert matches(pattern, CEPH, usage_id) is expected
    assert naive_matches(pattern, CEPH, usage_id) is expected


@pytest.mark.parametrize(
    ("pattern", "usage_id", "expected"),
    [
        pytest.param("/srv/images/**", "/srv/images/a", True, id="below"),
        pytest.param("/srv/images/**", "/srv/images/a/b.qcow2", True, id="far-below"),
        pytest.param("/srv/images/*", "/srv/images/a", True, id="in"),
        pytest.param("/srv/images/*", "/srv/images/a/b", False, id="not-below"),
        pytest.param("/srv/images/**", "/srv/images", False, id="not-itself"),
        pytest.param("/srv/images/**", "/srv/images/../../etc/key", False, id="up"),
        pytest.param("/srv/images/**", "/srv/images/..", False, id="up-at-the-end"),
        pytest.param("/srv/images/*", "/srv/images/..", False, id="up-for-a-star"),
        pytest.param("/srv/images/**", "/srv/images/./a", False, id="here"),
        pytest.param("/srv/images/**", "/srv/images/a/.", False, id="here-at-the-end"),
        pytest.param("/srv/images/**", "/srv/images//a", False, id="doubled-slash"),
        pytest.param("/srv/images/**", "//srv/images/a", False, id="doubled-slash-in-front"),
        pytest.param("/srv/images/**", "/srv/images/a/", False, id="slash-at-the-end"),
        pytest.param("/srv/images/**", "/srv/images/", False, id="slash-and-nothing"),
        pytest.param("/**", "/", False, id="the-root"),
        pytest.param("/**", "srv/images/a", False, id="relative"),
        pytest.param("/srv/images/**", "/srv/images/...", True, id="three-dots-are-a-name"),
        pytest.param("/srv/images/**", "/srv/images/..a/.b/c..", True, id="dots-in-names"),
        pytest.param("/srv/images/**", "/srv/images/%2e%2e/key", True, id="nothing-is-decoded"),
        pytest.param("/srv/images/**", "/srv/images/..\n/key", True, id="two-dots-and-a-newline-are-a-name"),
        pytest.param("/srv/images/**", "/SRV/images/a", False, id="case"),
        pytest.param("/srv/images/a", "/srv/images/a", True, id="itself"),
        pytest.param("/srv/images/a", "/srv/images//a", False, id="itself-otherwise"),
    ],
)
def test_a_pattern_for_volumes(pattern: str, usage_id: str, expected: bool) -> None:
    assert matches(pattern, VOLUME, usage_id) is expected
    assert naive_matches(pattern, VOLUME, usage_id) is expected


@pytest.mark.parametrize(
    ("pattern", "key_id", "expected"),
    [
        pytest.param("nightly", "nightly", True, id="itself"),
        pytest.param("nightly", "nightly2", False, id="longer"),
        pytest.param("backup-*", "backup-", True, id="a-star-for-nothing"),
        pytest.param("backup-*", "backup-web", True, id="a-star-for-some"),
        pytest.param("backup-*", "xbackup-web", False, id="from-the-beginning"),
        pytest.param("*.prod", "web.prod", True, id="in-front"),
        pytest.param("*.prod", "webxprod", False, id="a-dot-is-a-dot"),
        pytest.param("*", "abc", True, id="every-one"),
        pytest.param("**", "abc", True, id="two-stars-are-one"),
        pytest.param("a**c", "a.b.c", True, id="two-stars-between"),
        pytest.param("a*b*c", "a_b-c", True, id="stars"),
        pytest.param("Backup-*", "backup-web", False, id="case"),
        pytest.param("0c0b2a1d-*", "0c0b2a1d-6a4e-4c8c-9a55-6f2f6b1d7c10", True, id="uuid"),
    ],
)
def test_a_pattern_for_keys(pattern: str, key_id: str, expected: bool) -> None:
    assert matches_key(pattern, key_id) is expected
    assert naive_matches(pattern, CEPH, key_id) is expected


LETTERS = st.sampled_from("aab/./.\n*")
USAGE_IDS = st.text(LETTERS, min_size=1, max_size=12)
PATTERNS = st.lists(st.text(LETTERS, max_size=3) | st.sampled_from(["*", "**", "/"]), max_size=6).map("".join)
PARTS = st.text("aab.\n*", min_size=1, max_size=3) | st.just("**")
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))


@given(pattern=PATTERNS.filter(bool), usage_id=USAGE_IDS)
def test_patterns_mean_what_the_naive_reading_says(pattern: str, usage_id: str) -> None:
    assert matches(pattern, CEPH, usage_id) is naive_matches(pattern, CEPH, usage_id)


@given(pattern=PATHS.filter(is_plain_path), usage_id=USAGE_IDS | PATHS)
def test_so_do_patterns_for_volumes(pattern: str, usage_id: str) -> None:
    assert matches(pattern, VOLUME, usage_id) is naive_matches(pattern, VOLUME, usage_id)


@given(pattern=st.text("ab-*", min_size=1, max_size=12), key_id=st.text("ab-", min_size=3, max_size=12))
def test_so_do_patterns_for_keys(pattern: str, key_id: str) -> None:
    assert matches_key(pattern, key_id) is naive_matches(pattern, CEPH, key_id)


@given(parts=st.lists(st.text(LETTERS, max_size=3), min_size=1, max_size=5), data=st.data())
def test_what_a_pattern_was_made_from_it_matches(parts: list[str], data: st.DataObject) -> None:
    stars = [data.draw(st.sampled_from(["*", "**"])) for _ in parts]
    between = {"*": st.text("ab.\n", max_size=4), "**": st.text(LETTERS, max_size=12)}
    usage_id = "".join(part + data.draw(between[star]) for part, star in zip(parts, stars, strict=True))
    assume(usage_id)
    assert matches("".join(map("".join, zip(parts, stars, strict=True))), CEPH, usage_id)


@pytest.mark.parametrize(
    ("pattern", "usage_id"),
    [
        pytest.param("a*" * 1_000 + "b", "a" * limits.USAGE_ID_BYTES, id="stars"),
        pytest.param("a**" * 1_000 + "b", "a" * limits.USAGE_ID_BYTES, id="double-stars"),
        pytest.param("*a" * 500 + "**" + "a*" * 500 + "b", "a" * limits.USAGE_ID_BYTES, id="both"),
        pytest.param("**/a*a/" * 500 + "b", "/aa/a" * (limits.USAGE_ID_BYTES // 5), id="parts"),
        pytest.param("**" + "a/" * 1_000 + "**b", "a/" * (limits.USAGE_ID_BYTES // 2), id="parts-all-alike"),
    ],
)
def test_no_pattern_explodes(pattern: str, usage_id: str) -> None:
    # A grant's would not be compared at all: the id ends otherwise.
    began = time.process_time()
    assert not pattern_of(pattern).matches(usage_id)
    assert time.process_time() - began < 2, "what backtracks would take longer than anybody waits"
