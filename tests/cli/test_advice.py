"""What can be done about an error."""

from __future__ import annotations

import re

import pytest

from secretd.cli.advice import ADVICE, ADVICE_OF, advice_for
from secretd.cli.main import secretctl
from secretd.errors import (
    AccessDeniedError,
    BusyError,
    ConfigError,
    ConflictError,
    DigestMismatchError,
    InvalidDocumentError,
    InvalidRequestError,
    InvalidValueError,
    NotFoundError,
    OperationInvalidError,
    PrivateError,
    ReferencedError,
    SealError,
    SecretdError,
    StoreError,
    UnreachableError,
    UntrustedDaemonError,
    WrongStateError,
)


class WentAwayError(UnreachableError):
    """A class that has no row of its own."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(DigestMismatchError, "digest that it has now", id="its-own-before-its-parents"),
        pytest.param(WentAwayError, "--connect", id="its-parents"),
        pytest.param(UntrustedDaemonError, "--system", id="who-is-not-trusted-is-no-reason-to-start-one"),
        pytest.param(ConflictError, "secret-set-xml changes", id="a-usage-that-define-may-not-change"),
        pytest.param(OperationInvalidError, "secret-undefine", id="what-cannot-be-taken-back"),
        pytest.param(SealError, "secretctl status", id="sealed"),
        pytest.param(ConfigError, "XDG_RUNTIME_DIR", id="no-place-for-a-socket"),
        pytest.param(ConfigError, "--system", id="no-place-and-perhaps-the-hosts-is-meant"),
        pytest.param(UnreachableError, "systemctl start secretd", id="none-runs"),
        pytest.param(PrivateError, "libvirt's own daemons", id="not-its-parents"),
        pytest.param(AccessDeniedError, "grant-add", id="who-may-do-nothing-is-not-sent-to-whoami"),
    ],
)
def test_advice_is_the_nearest_there_is(error: type[SecretdError], said: str) -> None:
    assert said in (advice_for(error("wrong")) or "")


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        pytest.param("secret-archive", ReferencedError, "secret-detach", id="who-needs-a-secret"),
        pytest.param("secret-get-value", WrongStateError, "secret-cancel-deletion", id="a-secret-out-of-use"),
        pytest.param("secret-undefine", WrongStateError, "secret-cancel-deletion", id="one-not-deleted-at-once"),
        pytest.param("secret-undefine", OperationInvalidError, "secret-unprotect", id="a-secret-that-is-protected"),
        pytest.param("key-archive", ReferencedError, "key-detach", id="who-needs-a-key"),
        pytest.param("restore", OperationInvalidError, "Nothing has to be deleted", id="restore-deletes-nothing"),
        pytest.param("grant-add", OperationInvalidError, "--system", id="a-session-has-no-grants"),
        pytest.param("grant-add", ConflictError, "--replace", id="a-grants-name-is-taken"),
        pytest.param("grant-add", InvalidDocumentError, "grant-add --help", id="a-grants-document"),
        pytest.param("grant-add", DigestMismatchError, "digest that it has now", id="what-no-command-is-special-in"),
        pytest.param("encrypt", InvalidRequestError, "key-default", id="no-default-key"),
        pytest.param("encrypt", InvalidValueError, "", id="nothing-to-seal"),
        pytest.param("key-archive", ReferencedError, "key-detach", id="somebody-needs-the-key"),
        pytest.param("key-create", ConflictError, "not used again", id="an-id-of-a-key-is-taken"),
        pytest.param("key-create", InvalidDocumentError, "key-create --help", id="a-keys-document"),
        pytest.param("key-delete", ReferencedError, "key-detach", id="somebody-needs-it-still"),
        pytest.param("key-delete", WrongStateError, "key-disable", id="a-key-in-use"),
        pytest.param("key-export", OperationInvalidError, "rewrap", id="not-exportable"),
        pytest.param("key-export", WrongStateError, "key-enable", id="a-key-out-of-use"),
        pytest.param("key-import", InvalidValueError, "base64 -d", id="a-key-in-base64"),
        pytest.param("key-update", DigestMismatchError, "try again", id="changed-meanwhile"),
        pytest.param("seal-retire", OperationInvalidError, "try again", id="not-sealed-anew-yet"),
        pytest.param("secret-set-value", NotFoundError, "--create", id="an-id-that-is-new"),
        pytest.param("store-accept", OperationInvalidError, "", id="nothing-to-accept"),
    ],
)
def test_a_command_may_have_advice_of_its_own(command: str, error: type[SecretdError], said: str) -> None:
    advice = advice_for(error("wrong"), command)

    assert said in advice if advice else not said


def test_commands_that_have_advice_of_their_own_are_there() -> None:
    assert set(ADVICE_OF) <= set(secretctl.commands)


@pytest.mark.parametrize(
    "error", [StoreError, BusyError, ReferencedError], ids=["no-row", "says-it-itself", "and-so-does-this"]
)
def test_where_there_is_nothing_to_say_nothing_is_said(error: type[SecretdError]) -> None:
    assert advice_for(error("wrong")) is None


GIVEN = [advice for table in (ADVICE, *ADVICE_OF.values()) for advice in table.values() if advice]


@pytest.mark.parametrize("advice", GIVEN, ids=lambda advice: advice[:20])
def test_advice_is_a_sentence(advice: str) -> None:
    assert advice.endswith(".")


@pytest.mark.parametrize("advice", GIVEN, ids=lambda advice: advice[:20])
def test_advice_names_commands_that_there_are_and_no_page(advice: str) -> None:
    named = re.findall(r"\b(secret-[a-z-]+|(?<=secretctl )[a-z-]+)", advice)

    assert set(named) <= set(secretctl.commands)
    assert ".md" not in advice  # the pages are not installed
