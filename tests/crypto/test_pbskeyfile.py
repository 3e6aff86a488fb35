"""The form of Proxmox Backup's key files: what is read, what is passed over, and what is refused with which words."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secretd import limits
from secretd.crypto import pbskeyfile
from secretd.crypto.pbskeyfile import KeyFile, Pbkdf2Kdf, ScryptKdf, check_hint, dump, parse, shown_hint
from secretd.errors import InvalidRequestError, KeyFileError

KEY = bytes(range(32))
CREATED = 1_593_179_765
MODIFIED = 1_593_179_766

PLAIN: dict[str, Any] = {
    "kdf": None,
    "created": "2020-06-26T13:56:05+00:00",
    "modified": "2020-06-26T13:56:06+00:00",
    "data": b64encode(KEY).decode(),
}
SCRYPT = {"n": 16, "r": 8, "p": 1, "salt": "c2FsdA=="}
PBKDF2 = {"iter": 1_000, "salt": "c2FsdA=="}
PROTECTED = PLAIN | {"kdf": {"Scrypt": SCRYPT}, "data": b64encode(bytes(64)).decode(), "hint": "what?"}

PLAIN_FILE = KeyFile(None, CREATED, MODIFIED, KEY)
PROTECTED_FILE = KeyFile(ScryptKdf(16, 8, 1, b"salt"), CREATED, MODIFIED, bytes(64), hint="what?")


def text(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def without(name: str) -> bytes:
    return text({member: value for member, value in PLAIN.items() if member != name})


def scrypt(**costs: object) -> bytes:
    return text(PROTECTED | {"kdf": {"Scrypt": SCRYPT | costs}})


def pbkdf2(**costs: object) -> bytes:
    return text(PROTECTED | {"kdf": {"PBKDF2": PBKDF2 | costs}})


READ = {
    "unprotected": (text(PLAIN), PLAIN_FILE),
    "scrypt": (text(PROTECTED), PROTECTED_FILE),
    "pbkdf2": (
        pbkdf2(),
        KeyFile(Pbkdf2Kdf(1_000, b"salt"), CREATED, MODIFIED, bytes(64), hint="what?"),
    ),
    "an-empty-salt": (
        scrypt(salt=""),
        KeyFile(ScryptKdf(16, 8, 1, b""), CREATED, MODIFIED, bytes(64), hint="what?"),
    ),
    "the-largest-costs": (
        pbkdf2(iter=2**63 - 1),
        KeyFile(Pbkdf2Kdf(2**63 - 1, b"salt"), CREATED, MODIFIED, bytes(64), hint="what?"),
    ),
    "in-another-order": (text(dict(reversed(PLAIN.items()))), PLAIN_FILE),
    "with-white-space": (json.dumps(PLAIN, indent=4).encode() + b"\r\n\n", PLAIN_FILE),
    "unknown-members": (text(PLAIN | {"comment": [1.5, {"a": None}], "path": "/x", "": -1}), PLAIN_FILE),
    "unknown-members-of-the-kdf": (scrypt(version=2, iter="none"), PROTECTED_FILE),
    "time-in-utc": (text(PLAIN | {"created": "2020-06-26T13:56:05Z"}), PLAIN_FILE),
    "time-east": (text(PLAIN | {"created": "2020-06-26T15:56:05+02:00"}), PLAIN_FILE),
    "time-west": (text(PLAIN | {"created": "2020-06-26T08:26:05-05:30"}), PLAIN_FILE),
    "the-first-time": (text(PLAIN | {"created": "1970-01-01T00:00:00Z"}), KeyFile(None, 0, MODIFIED, KEY)),
    "the-last-time": (
        text(PLAIN | {"modified": "9999-12-31T23:59:59Z"}),
        KeyFile(None, CREATED, 253_402_300_799, KEY),
    ),
    "fingerprint": (
        text(PLAIN | {"fingerprint": ":".join(["0a"] * 32)}),
        KeyFile(None, CREATED, MODIFIED, KEY, b"\n" * 32),
    ),
    "fingerprint-without-colons": (
        text(PLAIN | {"fingerprint": "0A" * 32}),
        KeyFile(None, CREATED, MODIFIED, KEY, b"\n" * 32),
    ),
    "no-fingerprint": (text(PLAIN | {"fingerprint": None}), PLAIN_FILE),
    "no-hint": (text(PLAIN | {"hint": None}), PLAIN_FILE),
    "an-empty-hint": (text(PLAIN | {"hint": ""}), PLAIN_FILE),
    "a-hint-of-an-unprotected-file": (text(PLAIN | {"hint": "h"}), KeyFile(None, CREATED, MODIFIED, KEY, hint="h")),
    "a-hint-that-steers": (
        text(PLAIN | {"hint": "a\x1b[2J\n"}),
        KeyFile(None, CREATED, MODIFIED, KEY, hint="a\ufffd[2J\ufffd"),
    ),
    "a-hint-that-is-no-text": (
        text(PLAIN)[:-1] + rb',"hint":"\ud800b"}',
        KeyFile(None, CREATED, MODIFIED, KEY, hint="\ufffdb"),
    ),
    "a-long-hint": (text(PLAIN | {"hint": "\u00e4" * 65}), KeyFile(None, CREATED, MODIFIED, KEY, hint="\u00e4" * 64)),
}

UNKNOWN = "no key file of Proxmox Backup"
DAMAGED = "damaged, or of a form that is not known"

REFUSED = {
    "empty": (b"", UNKNOWN),
    "cut-short": (text(PLAIN)[:-1], "cut short"),
    "with-something-after": (text(PLAIN) + b"{}", UNKNOWN),
    "bytes": (bytes(range(256)), UNKNOWN),
    "a-raw-key": (KEY, UNKNOWN),
    "utf-16": (json.dumps(PLAIN).encode("utf-16"), UNKNOWN),
    "a-byte-order-mark": (b"\xef\xbb\xbf" + text(PLAIN), UNKNOWN),
    "latin-1": (text(PLAIN)[:-1] + b',"hint":"\xe4"}', UNKNOWN),
    "a-list": (b"[%s]" % text(PLAIN), UNKNOWN),
    "null": (b"null", UNKNOWN),
    "a-text": (json.dumps(text(PLAIN).decode()).encode(), UNKNOWN),
    "pem": (b"-----BEGIN PROXMOX BACKUP KEY-----\n%s\n-----END PROXMOX BACKUP KEY-----\n" % text(PLAIN), UNKNOWN),
    "nan": (text(PLAIN | {"x": float("nan")}), UNKNOWN),
    "a-number-too-long-for-python": (text(PLAIN)[:-1] + b',"x":%s}' % (b"9" * 5_000), UNKNOWN),
    "nested-too-deeply": (text(PLAIN)[:-1] + b',"x":%s}' % (b"[" * 20_000), UNKNOWN),
    "too-long": (text(PLAIN) + b" " * limits.VALUE_BYTES, "at most 65536 bytes"),
    "a-member-twice": (text(PLAIN)[:-1] + b',"kdf":null}', "a member twice"),
    "an-unknown-member-twice": (text(PLAIN)[:-1] + b',"x":{"y":1,"y":2}}', "a member twice"),
    "an-empty-object": (b"{}", "no 'kdf'"),
    **{f"no-{name}": (without(name), f"no '{name}'") for name in PLAIN},
    "kdf-false": (text(PLAIN | {"kdf": False}), DAMAGED),
    "kdf-a-text": (text(PLAIN | {"kdf": "scrypt"}), DAMAGED),
    "kdf-empty": (text(PROTECTED | {"kdf": {}}), DAMAGED),
    "kdf-two": (text(PROTECTED | {"kdf": {"Scrypt": SCRYPT, "PBKDF2": PBKDF2}}), DAMAGED),
    "kdf-unknown": (text(PROTECTED | {"kdf": {"Argon2": {}}}), "neither Scrypt nor PBKDF2"),
    "kdf-lower-case": (text(PROTECTED | {"kdf": {"scrypt": SCRYPT}}), "neither Scrypt nor PBKDF2"),
    "kdf-without-costs": (text(PROTECTED | {"kdf": {"Scrypt": None}}), DAMAGED),
    "kdf-without-n": (text(PROTECTED | {"kdf": {"Scrypt": PBKDF2}}), "no 'n'"),
    "kdf-without-iter": (text(PROTECTED | {"kdf": {"PBKDF2": SCRYPT}}), "no 'iter'"),
    "n-zero": (scrypt(n=0), "'n'"),
    "n-negative": (scrypt(n=-16), "'n'"),
    "n-true": (scrypt(n=True), "'n'"),
    "n-no-integer": (scrypt(n=16.0), "'n'"),
    "n-a-text": (scrypt(n="16"), "'n'"),
    "r-zero": (scrypt(r=0), "'r'"),
    "p-zero": (scrypt(p=0), "'p'"),
    "p-huge": (scrypt(p=2**63), "'p'"),
    "iter-zero": (pbkdf2(iter=0), "'iter'"),
    "iter-huge": (pbkdf2(iter=10**1_000), "'iter'"),
    "salt-missing": (text(PROTECTED | {"kdf": {"PBKDF2": {"iter": 1}}}), "no 'salt'"),
    "salt-null": (scrypt(salt=None), "'salt'"),
    "salt-not-padded": (scrypt(salt="c2FsdA"), "'salt'"),
    "salt-for-urls": (scrypt(salt="-_-_"), "'salt'"),
    "salt-with-bits-left-over": (scrypt(salt="c2FsdB=="), "'salt'"),
    "salt-with-a-line-end": (scrypt(salt="c2FsdA==\n"), "'salt'"),
    "salt-not-ascii": (scrypt(salt="\u00e4\u00e4\u00e4\u00e4"), "'salt'"),
    "created-a-number": (text(PLAIN | {"created": CREATED}), "'created'"),
    "created-null": (text(PLAIN | {"created": None}), "'created'"),
    "modified-a-number": (text(PLAIN | {"modified": MODIFIED}), "'modified'"),
    "time-with-a-fraction": (text(PLAIN | {"created": "2020-06-26T13:56:05.5Z"}), "'created'"),
    "time-without-an-offset": (text(PLAIN | {"created": "2020-06-26T13:56:05"}), "'created'"),
    "time-with-a-space": (text(PLAIN | {"created": "2020-06-26 13:56:05Z"}), "'created'"),
    "time-in-lower-case": (text(PLAIN | {"created": "2020-06-26t13:56:05z"}), "'created'"),
    "time-with-a-short-offset": (text(PLAIN | {"created": "2020-06-26T13:56:05+0000"}), "'created'"),
    "time-with-a-wild-offset": (text(PLAIN | {"created": "2020-06-26T13:56:05+24:00"}), "'created'"),
    "time-that-is-not": (text(PLAIN | {"created": "2020-02-30T13:56:05Z"}), "'created'"),
    "time-in-other-digits": (text(PLAIN | {"created": "\u0662020-06-26T13:56:05Z"}), "'created'"),
    "time-before-all": (text(PLAIN | {"created": "0000-01-01T00:00:00Z"}), "'created'"),
    "time-before-1970": (text(PLAIN | {"created": "1970-01-01T00:00:00+00:01"}), "'created'"),
    "time-after-9999": (text(PLAIN | {"modified": "9999-12-31T23:59:59-00:01"}), "'modified'"),
    "data-a-number": (text(PLAIN | {"data": 1}), "'data'"),
    "data-no-base64": (text(PLAIN | {"data": "*" * 44}), "'data'"),
    "data-empty": (text(PLAIN | {"data": ""}), "is short: its 'data' has 0 bytes, where 32"),
    "data-short": (text(PLAIN | {"data": b64encode(KEY[1:]).decode()}), "is short: its 'data' has 31 bytes"),
    "data-long": (text(PLAIN | {"data": b64encode(KEY + b"x").decode()}), "'data' is not 32 bytes"),
    "data-unprotected-of-a-protected": (text(PROTECTED | {"data": PLAIN["data"]}), "has 32 bytes, where 64"),
    "data-protected-of-an-unprotected": (text(PLAIN | {"data": PROTECTED["data"]}), "'data' is not 32 bytes"),
    "data-short-of-a-tag": (text(PROTECTED | {"data": b64encode(bytes(63)).decode()}), "has 63 bytes, where 64"),
    "data-long-of-a-protected": (text(PROTECTED | {"data": b64encode(bytes(65)).decode()}), "'data' is not 64 bytes"),
    "fingerprint-a-number": (text(PLAIN | {"fingerprint": 1}), "'fingerprint'"),
    "fingerprint-short": (text(PLAIN | {"fingerprint": "0a" * 31}), "'fingerprint'"),
    "fingerprint-long": (text(PLAIN | {"fingerprint": "0a" * 33}), "'fingerprint'"),
    "fingerprint-empty": (text(PLAIN | {"fingerprint": ""}), "'fingerprint'"),
    "fingerprint-no-hex": (text(PLAIN | {"fingerprint": "0g" * 32}), "'fingerprint'"),
    "hint-a-number": (text(PLAIN | {"hint": 1}), "'hint'"),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_read(case: str) -> None:
    data, expected = READ[case]
    assert parse(data) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    data, says = REFUSED[case]
    with pytest.raises(KeyFileError) as caught:
        parse(data)
    assert says in caught.value.message
    assert caught.value.__context__ is None
    assert PLAIN["data"][:8] not in caught.value.message


@pytest.mark.parametrize("length", range(len(text(PROTECTED))))
def test_a_file_that_was_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(KeyFileError, match="cut short"):
        parse(text(PROTECTED)[:length])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_other_bytes_are_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        parse(data)


def test_unknown_members_change_nothing_of_what_is_written() -> None:
    assert dump(parse(text(PROTECTED | {"x": 1}))) == dump(PROTECTED_FILE)


kdfs = (
    st.builds(
        ScryptKdf,
        st.integers(1, 2**63 - 1),
        st.integers(1, 2**63 - 1),
        st.integers(1, 2**63 - 1),
        st.binary(max_size=40),
    )
    | st.builds(Pbkdf2Kdf, st.integers(1, 2**63 - 1), st.binary(max_size=40))
    | st.none()
)


@given(
    kdf=kdfs,
    times=st.tuples(st.integers(0, 253_402_300_799), st.integers(0, 253_402_300_799)),
    data=st.binary(min_size=64, max_size=64),
    fingerprint=st.none() | st.binary(min_size=32, max_size=32),
    hint=st.text(max_size=80).map(shown_hint),
)
def test_what_is_written_reads_back(
    kdf: pbskeyfile.Kdf | None, times: tuple[int, int], data: bytes, fingerprint: bytes | None, hint: str | None
) -> None:
    file = KeyFile(kdf, *times, data if kdf else data[:32], fingerprint, hint)
    written = dump(file)

    assert parse(written) == file
    assert dump(parse(written)) == written
    assert json.dumps(json.loads(written), separators=(",", ":"), ensure_ascii=False).encode() == written


@given(st.text(max_size=100))
def test_a_hint_that_is_shown_is_one_that_may_be_written(hint: str) -> None:
    shown = shown_hint(hint)
    assert (shown is None) is (hint == "")
    if shown is not None:
        check_hint(shown)


@pytest.mark.parametrize(
    ("hint", "says"),
    [
        pytest.param("", "1 to 64 characters", id="empty"),
        pytest.param("x" * 65, "1 to 64 characters", id="too-long"),
        pytest.param("a\nb", "no control", id="a-line-end"),
        pytest.param("\x1b[0m", "no control", id="an-escape"),
        pytest.param("a\x7f", "no control", id="delete"),
        pytest.param("a\u202eb", "no control", id="a-change-of-direction"),
        pytest.param("\ud800", "no control", id="half-a-character"),
        pytest.param("\uffff", "no control", id="no-character"),
    ],
)
def test_a_hint_that_may_not_be_written(hint: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        check_hint(hint)


@pytest.mark.parametrize("hint", ["x", "x" * 64, "wie heißt die Katze\u00a0?", "\U0001f408"])
def test_a_hint_that_may_be_written(hint: str) -> None:
    check_hint(hint)
    assert shown_hint(hint) == hint
