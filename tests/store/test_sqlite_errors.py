"""SQLite's errors as ours: total, by symbolic name, and without SQLite's words."""

from __future__ import annotations

import logging
import sqlite3

import pytest

from secretd.errors import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOutcomeUnknownError,
    StoreUnavailableError,
)
from secretd.store.sqlite_errors import Translating, translated, translated_at_commit

NAMES = sorted(name for name in dir(sqlite3) if name.startswith("SQLITE_") and name.isupper())

WORDS = "near canary: syntax error"


def failure(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(WORDS)
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("name", "before", "at_commit"),
    [
        pytest.param("SQLITE_FULL", StoreFullError, StoreFullError, id="full"),
        pytest.param("SQLITE_CORRUPT", StoreCorruptError, StoreCorruptError, id="corrupt"),
        pytest.param("SQLITE_CORRUPT_INDEX", StoreCorruptError, StoreCorruptError, id="corrupt-extended"),
        pytest.param("SQLITE_NOTADB", StoreCorruptError, StoreCorruptError, id="not-a-database"),
        pytest.param("SQLITE_BUSY", StoreUnavailableError, StoreUnavailableError, id="busy"),
        pytest.param("SQLITE_IOERR", StoreUnavailableError, StoreOutcomeUnknownError, id="input-output"),
        pytest.param("SQLITE_IOERR_FSYNC", StoreUnavailableError, StoreOutcomeUnknownError, id="fsync"),
        pytest.param("SQLITE_READONLY", StoreUnavailableError, StoreOutcomeUnknownError, id="read-only"),
        pytest.param("SQLITE_CANTOPEN", StoreUnavailableError, StoreOutcomeUnknownError, id="cannot-open"),
    ],
)
def test_the_stage_decides_what_is_known(name: str, before: type[StoreError], at_commit: type[StoreError]) -> None:
    assert type(translated(failure(name))) is before
    assert type(translated_at_commit(failure(name))) is at_commit


def test_there_are_names_to_try() -> None:
    assert {"SQLITE_FULL", "SQLITE_IOERR_FSYNC"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_error_has_a_counterpart_and_says_nothing_of_sqlites(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for error in (translated(failure(name)), translated_at_commit(failure(name))):
            assert isinstance(error, StoreError)
            assert "canary" not in str(error)
            assert "SQLITE" not in str(error)
    assert "canary" not in caplog.text
    assert {vars(record)["sqlite"] for record in caplog.records} == {name}


def test_what_python_refuses_is_our_own_fault() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(RuntimeError, match="used wrongly"), Translating():
        connection.execute("SELECT 1")


def test_the_translation_hides_what_it_came_from() -> None:
    with pytest.raises(StoreCorruptError) as caught, Translating():
        raise failure("SQLITE_CORRUPT")
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_other_exceptions_pass() -> None:
    with pytest.raises(KeyError), Translating():
        raise KeyError
