"""Strategies for everything that a grant can say."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from helpers.documents import TEXT
from secretd.grants import (
    LARGEST_ID,
    OF_KEYS,
    OF_SECRETS,
    EveryKey,
    EverySecret,
    ExecutableIs,
    Grant,
    KeyLike,
    KeyScope,
    KeyTagged,
    Principal,
    PrincipalKind,
    Scope,
    ThatKey,
    ThatSecret,
    UsageLike,
    is_interpreter,
)
from secretd.keys import KeyId, Tag
from secretd.model import Permission, UsageType

_WORDS = st.text("abcXYZ019._-", min_size=1, max_size=20)
_PARTS = TEXT.map(lambda text: text.replace("/", "")).filter(lambda text: text not in {"", ".", ".."})
_PATHS = st.lists(_PARTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
_EXECUTABLES = st.none() | st.builds(
    ExecutableIs,
    _PATHS.filter(lambda path: not is_interpreter(path)),
    st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
)


PRINCIPALS = st.one_of(
    st.builds(Principal, st.just(PrincipalKind.USER), st.integers(1, LARGEST_ID), st.none(), _EXECUTABLES),
    st.builds(Principal, st.just(PrincipalKind.GROUP), st.integers(0, LARGEST_ID), st.none(), _EXECUTABLES),
    st.builds(
        Principal, st.just(PrincipalKind.UNIT), st.none(), _WORDS.map(lambda word: f"{word}.service"), _EXECUTABLES
    ),
    st.just(Principal(PrincipalKind.ANYONE)),
)

_STARRED = TEXT | st.lists(TEXT, min_size=2, max_size=4).map("**".join) | st.lists(TEXT, min_size=2).map("*".join)
_PATTERNS = _STARRED.filter(lambda text: 0 < len(text.encode()) < 1_000)
_VOLUME_PATTERNS = _PATHS.map(lambda path: f"{path}/**") | _PATHS

SCOPES: st.SearchStrategy[Scope] = st.one_of(
    st.just(EverySecret()),
    st.builds(ThatSecret, st.uuids()),
    st.builds(UsageLike, st.sampled_from(UsageType)),
    st.builds(UsageLike, st.just(UsageType.VOLUME), _VOLUME_PATTERNS),
    st.builds(
        UsageLike,
        st.sampled_from([kind for kind in UsageType if kind not in (UsageType.NONE, UsageType.VOLUME)]),
        _PATTERNS,
    ),
    st.just(EveryKey()),
    st.builds(ThatKey, st.text("abcXYZ019_", min_size=3, max_size=32).map(KeyId) | st.uuids().map(str).map(KeyId)),
    st.builds(KeyLike, st.text("abcXYZ019._-*", min_size=1, max_size=64)),
    st.builds(KeyTagged, st.builds(Tag, TEXT.filter(bool), TEXT)),
)


@st.composite
def _grants(draw: st.DrawFn) -> Grant:
    scopes = draw(st.lists(SCOPES, min_size=1, max_size=4, unique=True))
    on_keys = [isinstance(scope, KeyScope) for scope in scopes]
    # Each permission counts for one of the scopes, and each scope for one of the permissions.
    both = OF_SECRETS & OF_KEYS
    fitting = (OF_KEYS if any(on_keys) else both) | (both if all(on_keys) else OF_SECRETS)
    fitting -= set() if EverySecret() in scopes else {Permission.ADMIN}
    permissions = draw(st.frozensets(st.sampled_from(sorted(fitting, key=lambda one: one.value)), min_size=1))
    for of_these, are_there in ((OF_SECRETS, not all(on_keys)), (OF_KEYS, any(on_keys))):
        if are_there and not permissions & of_these:
            permissions |= {Permission.GETATTR}
    return Grant(
        draw(_WORDS.filter(lambda word: word[0] not in "._-")),
        draw(st.none() | TEXT.filter(bool)),
        draw(PRINCIPALS),
        permissions,
        tuple(scopes),
        draw(st.none() | st.datetimes(max_value=datetime(9999, 12, 31)).map(_to_the_second)),  # noqa: DTZ001
    )


def _to_the_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0, tzinfo=UTC)


GRANTS = _grants()
