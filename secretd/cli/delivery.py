"""Giving the bytes that a command was asked for: in a new file as they are, or on standard output in base64.

Nothing is written over: the file may be the only blob of a data key that is in use.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from secretd.cli.invocation import Invocation
from secretd.cli.newfile import WhatIsThere, new_file
from secretd.keys import Blob
from secretd.model import SecretValue
from secretd.requests import Reply, Request

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


STDOUT = Path("-")


def output_option(name: str, about: str) -> Callable[[_Decorated], _Decorated]:
    """Make an option that names a file to be written, or ``-`` for standard output; its parameter is ``to_file``."""
    kind = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
    return click.option(name, "to_file", metavar="FILE", type=kind, help=about)


def deliver(invocation: Invocation, request: Request[Reply], field: str, to_file: Path | None, what: str) -> None:
    """Ask the daemon, and give one field of what it answers.

    Args:
        request: what is asked.
        field: the field of the reply that is asked for, a value or a blob.
        to_file: the new file to write; None or STDOUT for standard output.
        what: what that is, for people.

    Raises:
        click.BadParameter: the file is there already, or cannot be made; then nothing was asked.
        click.ClickException: the file cannot be written.
        SecretdError: as the daemon answered.
    """
    if to_file is None or to_file == STDOUT:
        reply = invocation.call(request)
        invocation.show(reply, lambda: in_base64(getattr(reply, field)))
        return
    with new_file(to_file, WhatIsThere.KEPT) as written:
        reply = invocation.call(request)
        written.write(bytes_of(getattr(reply, field)))
    more = {field: None, "file": str(to_file), "bytes": written.size}
    invocation.confirm(reply, f"{what} is in {to_file}", more)


def bytes_of(content: SecretValue | Blob) -> bytes:
    """Give the bytes themselves."""
    return content.data if isinstance(content, Blob) else content.reveal()


def in_base64(content: SecretValue | Blob) -> str:
    """Spell the bytes as a line of text."""
    return f"{base64.b64encode(bytes_of(content)).decode()}\n"
