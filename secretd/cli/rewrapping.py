"""Sealing the blobs of many files anew, each in its place.

A file is replaced whole, and stays as it was if anything fails.  What is wrong with one is said and the others go on;
what is wrong with the daemon ends it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import click

from secretd.cli import inputs
from secretd.cli.advice import advice_for
from secretd.cli.border import complain, spoken_in
from secretd.cli.invocation import Invocation
from secretd.cli.newfile import WhatIsThere, new_file
from secretd.client import Client
from secretd.errors import (
    AccessDeniedError,
    ConflictError,
    ExitStatus,
    InvalidRequestError,
    NotFoundError,
    SecretdError,
)
from secretd.fields import Help
from secretd.keyrequests import Rewrap
from secretd.keys import ContextPair, KeyId

_OF_ONE_FILE = (InvalidRequestError, NotFoundError, ConflictError, AccessDeniedError, click.ClickException)
"""What goes wrong with one file, and says nothing of the next."""


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What became of a file."""

    file: Annotated[str, Help("its name")]
    key: Annotated[KeyId, Help("the key that sealed it anew")]
    version: Annotated[int, Help("the version of the key", 1)]


class _Failures:
    """Says what fails, and of failures that are alike only once what can be done.

    Attributes:
        status: the exit status of the first; OK if there was none.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._advised: set[str] = set()
        self.status: int = ExitStatus.OK

    def add(self, file: Path, error: SecretdError | click.ClickException) -> None:
        """Say what is wrong with a file."""
        if isinstance(error, SecretdError):
            message, status = f"{file}: {error.message}", int(error.exit_status)
            advice = spoken_in(self._invocation, advice_for(error, "rewrap"))
        else:
            # It names the file itself.
            message, status, advice = error.message, error.exit_code, None
        complain(message, None if advice in self._advised else advice)
        self._advised |= {advice} if advice else set()
        self.status = self.status or status


def rewrap_in_place(
    invocation: Invocation, files: Sequence[Path], key: KeyId | None, context: tuple[ContextPair, ...]
) -> None:
    """Seal the blob of each file anew, and write it in the file's place as it stood there, as bytes or in base64.

    Raises:
        click.exceptions.Exit: some failed, and it was said which.
        SecretdError: the daemon went away, or can serve nobody.
    """
    done: list[Rewrapped] = []
    failures = _Failures(invocation)
    with invocation.asking() as client, invocation.working("Rewrapping", len(files)) as advance:
        for file in files:
            try:
                done.append(_rewrap(client, file, key, context))
            except _OF_ONE_FILE as error:
                failures.add(file, error)
            advance(1)
    if invocation.json or not invocation.quiet:
        invocation.show(done, lambda: f"{len(done):,} blob{'' if len(done) == 1 else 's'} sealed anew\n")
    if failures.status:
        raise click.exceptions.Exit(failures.status)


def _rewrap(client: Client, file: Path, key: KeyId | None, context: tuple[ContextPair, ...]) -> Rewrapped:
    blob, spelling = inputs.read_blob(file)
    reply = client.call(Rewrap(blob, key, context))
    with new_file(file, WhatIsThere.REPLACED_ALIKE) as written:
        written.write(inputs.spell_blob(reply.blob, spelling))
    return Rewrapped(str(file), reply.key, reply.version)
