"""What can be done about an error."""

from __future__ import annotations

import pytest

from secretd.cli.advice import ADVICE, advice_for
from secretd.errors import BusyError, DigestMismatchError, PrivateError, SecretdError, StoreError, UntrustedDaemonError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param(DigestMismatchError, "digest that it has now", id="its-own-before-its-parents"),
        pytest.param(UntrustedDaemonError, "--connect", id="its-parents"),
        pytest.param(PrivateError, "machinery", id="not-its-parents"),
    ],
)
def test_advice_is_the_nearest_there_is(error: type[SecretdError], said: str) -> None:
    assert said in (advice_for(error("wrong")) or "")


@pytest.mark.parametrize("error", [StoreError, BusyError], ids=["no-row", "says-it-itself"])
def test_where_there_is_nothing_to_say_nothing_is_said(error: type[SecretdError]) -> None:
    assert advice_for(error("wrong")) is None


@pytest.mark.parametrize("advice", ADVICE.values(), ids=lambda advice: str(advice)[:20])
def test_advice_is_a_sentence(advice: str | None) -> None:
    assert advice is None or advice.endswith(".")
