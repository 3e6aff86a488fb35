"""What a key is imported from, and exported as: every combination that means something, and those that do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.asynchronous import run
from secretd.core import keyfiles
from secretd.core.derivations import Derivations
from secretd.core.keyfiles import Material
from secretd.crypto import pbskeyfile
from secretd.crypto.pbskey import KdfBounds
from secretd.errors import (
    InvalidDocumentError,
    InvalidRequestError,
    InvalidValueError,
    KeyFileError,
    SecretdError,
    WrongPasswordError,
)
from secretd.keyrequests import KeyExport, KeyImport
from secretd.keys import KeyDocument, KeyFormat, KeyId, KeyKdf
from secretd.model import SecretValue

KEY = bytes(range(32))
FINGERPRINT = "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"
ID = KeyId("nightly")
MADE = 1_593_179_765
PASSWORD = SecretValue(b"correct horse")
OWN = Material(KEY)
FOREIGN = Material(KEY, MADE - 10, MADE - 5, "the old one")


def read(
    value: bytes,
    format: KeyFormat = KeyFormat.PBS,  # noqa: A002  # as the request calls it
    password: SecretValue | None = None,
    bounds: KdfBounds | None = None,
) -> Material:
    request = KeyImport(KeyDocument(ID), SecretValue(value), format, password)
    return run(keyfiles.read(request, Derivations(bounds or KdfBounds())))


def write(material: Material = OWN, **said: Any) -> bytes:
    return run(keyfiles.write(KeyExport(ID, **said), material, MADE, Derivations()))


def written(material: Material = OWN, **said: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(write(material, format=KeyFormat.PBS, **said))
    return loaded


PROTECTED: dict[str, Any] = {"format": KeyFormat.PBS, "kdf": KeyKdf.PBKDF2, "password": PASSWORD}


def test_bytes_as_they_are() -> None:
    assert read(KEY, KeyFormat.RAW) == Material(KEY)
    assert write() == KEY


def test_an_unprotected_file() -> None:
    assert read(write(format=KeyFormat.PBS)) == Material(KEY, MADE, MADE)
    assert written()["fingerprint"] == keyfiles.fingerprint(KEY) == FINGERPRINT


@pytest.mark.parametrize("kdf", [KeyKdf.SCRYPT, KeyKdf.PBKDF2])
@pytest.mark.parametrize("hint", [None, "which horse?"])
def test_a_protected_file(kdf: KeyKdf, hint: str | None) -> None:
    file = write(format=KeyFormat.PBS, kdf=kdf, password=PASSWORD, hint=hint)

    assert read(file, password=PASSWORD) == Material(KEY, MADE, MADE, hint)
    with pytest.raises(WrongPasswordError, match=hint or "does not open"):
        read(file, password=SecretValue(b"another horse"))
    with pytest.raises(WrongPasswordError, match=hint or "needs its password"):
        read(file)


def test_no_two_files_share_a_salt_or_an_iv() -> None:
    files = [pbskeyfile.parse(write(**PROTECTED)) for _ in range(5)]

    assert len({file.kdf for file in files}) == len({file.data[:16] for file in files}) == 5


def test_what_a_file_said_is_in_the_next_one() -> None:
    file = written(FOREIGN)
    assert (file["created"], file["modified"]) == ("2020-06-26T13:55:55+00:00", "2020-06-26T13:56:00+00:00")
    assert "hint" not in file


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        pytest.param(None, "the old one", id="kept"),
        pytest.param("the new one", "the new one", id="another"),
        pytest.param("", None, id="none-any-more"),
    ],
)
def test_the_hint_of_a_file(hint: str | None, expected: str | None) -> None:
    assert pbskeyfile.parse(write(FOREIGN, **PROTECTED, hint=hint)).hint == expected


@pytest.mark.parametrize(
    ("said", "says"),
    [
        pytest.param({"password": PASSWORD}, "name the KDF", id="raw-with-a-password"),
        pytest.param({"hint": "h"}, "name the KDF", id="raw-with-a-hint"),
        pytest.param({"kdf": KeyKdf.SCRYPT, "password": PASSWORD}, "cannot be protected", id="raw-with-a-kdf"),
        pytest.param({"format": KeyFormat.PBS, "password": PASSWORD}, "name the KDF", id="a-password-without-a-kdf"),
        pytest.param({"format": KeyFormat.PBS, "hint": "h"}, "name the KDF", id="a-hint-without-a-kdf"),
        pytest.param(
            {"format": KeyFormat.PBS, "kdf": KeyKdf.SCRYPT}, "needs a password", id="a-kdf-without-a-password"
        ),
        pytest.param(PROTECTED | {"password": SecretValue(b"four")}, "at least 5 bytes", id="a-short-password"),
        pytest.param(PROTECTED | {"hint": "h" * 65}, "1 to 64 characters", id="a-long-hint"),
        pytest.param(PROTECTED | {"hint": "a\nb"}, "no control characters", id="a-hint-that-steers"),
    ],
)
def test_an_export_that_means_nothing_is_refused(said: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        write(**said)
    assert type(caught.value) in {InvalidRequestError, InvalidDocumentError}


@pytest.mark.parametrize(
    ("value", "format_", "password", "error"),
    [
        pytest.param(KEY[1:], KeyFormat.RAW, None, InvalidValueError, id="raw-short"),
        pytest.param(KEY + b"\n", KeyFormat.RAW, None, InvalidValueError, id="raw-with-a-line-end"),
        pytest.param(KEY, KeyFormat.RAW, PASSWORD, InvalidRequestError, id="raw-with-a-password"),
        pytest.param(KEY, KeyFormat.PBS, None, KeyFileError, id="raw-as-a-file"),
        pytest.param(write(format=KeyFormat.PBS), KeyFormat.PBS, PASSWORD, InvalidRequestError, id="not-protected"),
        pytest.param(write(format=KeyFormat.PBS)[:-9], KeyFormat.PBS, None, KeyFileError, id="cut-short"),
        pytest.param(write(format=KeyFormat.PBS), KeyFormat.RAW, None, InvalidValueError, id="a-file-as-raw"),
    ],
)
def test_an_import_that_is_none_is_refused(
    value: bytes, format_: KeyFormat, password: SecretValue | None, error: type[SecretdError]
) -> None:
    with pytest.raises(error) as caught:
        read(value, format_, password)
    assert type(caught.value) is error


def test_an_admin_bounds_what_a_foreign_file_may_cost_and_not_our_own() -> None:
    file = write(**PROTECTED)
    with pytest.raises(KeyFileError, match="at most 65534"):
        read(file, password=PASSWORD, bounds=KdfBounds(iterations=65_534))
    assert read(file, password=PASSWORD, bounds=KdfBounds(memory=0, iterations=65_535)).key == KEY


def test_no_repr_shows_the_key() -> None:
    assert repr(KEY)[2:8] not in repr(Material(KEY))
