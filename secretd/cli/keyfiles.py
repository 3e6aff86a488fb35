"""The commands that bring the bytes of a key in and out: 32 as they are, or a key file of Proxmox Backup Server.

A password comes from a file, a descriptor or the keyboard, and is asked for only where one is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from secretd import limits
from secretd.cli import inputs, output
from secretd.cli.delivery import STDOUT, deliver, output_option
from secretd.cli.invocation import Invocation, command
from secretd.cli.keyoptions import described_key, exportable_option, saying_options
from secretd.cli.parameters import FILE, KEY, FileType, field_option, key_argument
from secretd.client import Client
from secretd.errors import InvalidValueError, WrongPasswordError
from secretd.keyrequests import KeyChanged, KeyExport, KeyImport
from secretd.keys import KeyFormat, KeyId, KeyKdf
from secretd.model import SecretValue

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

_FORMATS: dict[str, Any] = {"type": click.Choice([one.value for one in KeyFormat])}


class DescriptorType(click.IntRange):
    """The number of a descriptor that was opened for this program."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take any but standard input in a shell, where the commands come from."""
        number = super().convert(value, param, ctx)
        if number == 0 and ctx and ctx.obj.kept:
            self.fail("standard input is the shell's own; name another descriptor.", param, ctx)
        return number


def _password_options(function: _Decorated) -> _Decorated:
    for option in (
        click.option("--password-fd", metavar="FD", type=DescriptorType(), help="Or from this descriptor, likewise."),
        click.option(
            "--password-file",
            metavar="FILE",
            type=FileType(),
            help="Take the password from the first line of this file, - for standard input.",
        ),
    ):
        function = option(function)
    return function


def _password_given(file: Path | None, descriptor: int | None) -> SecretValue | None:
    if file is not None and descriptor is not None:
        raise click.UsageError("give --password-file or --password-fd, and not both.")
    source = file if file is not None else descriptor
    return None if source is None else inputs.read_password(source)


# In.


@command("key-import", "key-import", short_help="Make a key of bytes that are given.")
@click.argument("file", **FILE)
@click.option("--id", "key", help="The key's id; made if none is given.", **KEY)
@field_option(KeyImport, "format", **_FORMATS)
@_password_options
@saying_options
@exportable_option
def key_import(
    invocation: Invocation,
    *,
    file: Path,
    key: KeyId | None,
    format: str | None,  # noqa: A002  # the field's name
    password_file: Path | None,
    password_fd: int | None,
    **said: Any,
) -> None:
    """Make a key of the bytes in a file; which format it is in is seen if it is not said."""
    if file == inputs.STDIN and (password_file == inputs.STDIN or password_fd == 0):
        raise click.UsageError("standard input cannot be the key and its password.")
    document, password = described_key(key, **said), _password_given(password_file, password_fd)
    value = inputs.read_plain(file)
    request = KeyImport(document, value, KeyFormat(format) if format else _format_of(value), password)
    with invocation.asking() as client:
        reply = _imported(client, request)
    invocation.confirm(reply, f"Key {reply.key} imported")


def _format_of(value: SecretValue) -> KeyFormat:
    """See which format it is: a key file is a JSON object, and is longer than a key."""
    is_file = len(value) > limits.KEY_BYTES and value.reveal().lstrip().startswith(b"{")
    return KeyFormat.PBS if is_file else KeyFormat.RAW


def _imported(client: Client, request: KeyImport) -> KeyChanged:
    """Import a key, and ask for its password at the terminal if that turns out to be needed."""
    try:
        return client.call(request)
    except WrongPasswordError as error:
        if request.password is not None:
            raise
        try:
            # The message has the hint, which is whoever's who made the file.
            password = inputs.read_typed(f"{output.printable(error.message)}\nPassword: ")
        except inputs.NoTerminalError:
            raise error from None
        return client.call(replace(request, password=password))


# Out.


@command("key-export", "key-export", short_help="Give the bytes of an exportable key.")
@key_argument
@field_option(KeyExport, "version", metavar="N", type=click.IntRange(1))
@field_option(KeyExport, "format", **_FORMATS, default=KeyFormat.RAW.value, show_default=True)
@field_option(
    KeyExport,
    "kdf",
    type=click.Choice([one.value for one in KeyKdf]),
    default=KeyKdf.NONE.value,
    show_default=True,
)
@_password_options
@field_option(KeyExport, "hint", metavar="TEXT")
@output_option("--output", "Write the bytes to this new file, mode 0600.")
def key_export(
    invocation: Invocation,
    *,
    key: KeyId,
    version: int | None,
    format: str,  # noqa: A002  # the field's name
    kdf: str,
    password_file: Path | None,
    password_fd: int | None,
    hint: str | None,
    to_file: Path | None,
) -> None:
    """Give the bytes of a key; the text of a key file is given as it is."""
    form, derived_by = KeyFormat(format), KeyKdf(kdf)
    password = _password_given(password_file, password_fd)
    if derived_by is KeyKdf.NONE and (password is not None or hint is not None):
        raise click.UsageError("a password and its hint are of a file that --kdf scrypt or --kdf pbkdf2 protects.")
    if derived_by is not KeyKdf.NONE and form is KeyFormat.RAW:
        raise click.UsageError("raw bytes are protected by nothing: --kdf is of --format pbs.")
    if derived_by is not KeyKdf.NONE and password is None:
        password = _new_password()
    request = KeyExport(key, version, form, derived_by, password, hint)
    if to_file in (None, STDOUT) and form is KeyFormat.PBS:
        reply = invocation.call(request)
        invocation.show(reply, lambda: f"{reply.value.reveal().decode().rstrip()}\n")
    else:
        deliver(invocation, request, "value", to_file, f"Key {key}")


def _new_password() -> SecretValue:
    """Ask for a password twice, as nobody sees what is typed."""
    try:
        first, second = (inputs.read_typed(prompt) for prompt in ("New password: ", "The same once more: "))
    except inputs.NoTerminalError:
        raise click.UsageError("--kdf needs a password: give --password-file or --password-fd.") from None
    if first != second:
        raise InvalidValueError("what was typed was not the same twice")
    return first
