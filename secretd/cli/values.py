"""The commands about a secret's value: set, get, generate.

A value comes from a file, standard input or the keyboard.  Where virsh takes one from the command line, this
refuses, for by then it stands in the shell's history and in the list of processes.
"""

from __future__ import annotations

import base64
import string
from pathlib import Path
from uuid import UUID

import click

from secretd import limits
from secretd.cli import inputs, output
from secretd.cli.invocation import Invocation, command
from secretd.cli.parameters import FILE, digest_option, field_option, secret_argument
from secretd.model import Digest, SecretValue
from secretd.operations import GenerateValue, GetValue, SetValue

PRESETS = {
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
    "digits": string.digits,
    # Without the space, which gets lost at the ends of a line.
    "printable": string.ascii_letters + string.digits + string.punctuation,
}
"""The alphabets that have a name."""


_SEEN = (
    "a value is never taken from the command line, where other users can see it; use --file - or --interactive."
    " The one you gave is in your shell's history now."
)


def _refuse_option(context: click.Context, _parameter: click.Parameter, given: object) -> None:
    """Refuse the option by which virsh takes a value."""
    if given:
        raise click.UsageError(_SEEN, context)


@command(
    "secret-set-value", "set-value", help="Set the value of a secret.", context_settings={"allow_extra_args": True}
)
@secret_argument
@click.option("--file", help="Read the value from this file, - for standard input.", **FILE)
@click.option("--plain", is_flag=True, help="The bytes of the file are the value, not base64 of it.")
@click.option("--interactive", is_flag=True, help="Ask for the value at the terminal; what is typed is not shown.")
@click.option("--base64", hidden=True, expose_value=False, callback=_refuse_option)
@field_option(SetValue, "create", is_flag=True)
@field_option(SetValue, "ephemeral", is_flag=True)
@digest_option(SetValue)
@click.pass_context
def secret_set_value(
    context: click.Context,
    invocation: Invocation,
    secret: UUID,
    *,
    file: Path | None,
    plain: bool,
    interactive: bool,
    create: bool,
    ephemeral: bool,
    digest: Digest | None,
) -> None:
    """Set the value of a secret."""
    # virsh takes the value as a second argument, too.
    if context.args:
        raise click.UsageError(_SEEN, context)
    value = _value_given(file, plain, interactive)
    # As in virsh, and unlike the protocol, an id that was mistyped makes no secret.
    reply = invocation.call(
        SetValue(secret=secret, value=value, ephemeral=ephemeral, create=create or ephemeral, digest=digest)
    )
    invocation.confirm(reply, "Secret value set", {"bytes": len(value)})


def _value_given(file: Path | None, plain: bool, interactive: bool) -> SecretValue:
    if interactive and file is not None:
        raise click.UsageError("give --file or --interactive, and not both.")
    if not interactive and file is None:
        raise click.UsageError("say where the value comes from: --file FILE, --file - or --interactive.")
    if file is None:
        return _typed()
    return inputs.read_plain(file) if plain else inputs.read_base64(file)


def _typed() -> SecretValue:
    try:
        return inputs.read_typed("Enter new value for secret: ")
    except inputs.NoTerminalError:
        raise click.UsageError("--interactive needs a terminal; use --file - to give the value by a pipe.") from None


@command("secret-get-value", "get-value")
@secret_argument
@click.option("--plain", is_flag=True, help="Write exactly the bytes of the value, and nothing after them.")
def secret_get_value(invocation: Invocation, secret: UUID, plain: bool) -> None:
    """Write the value of a secret to standard output."""
    if plain and invocation.json:
        raise click.UsageError("--plain and --json cannot go together: JSON has the value in base64.")
    reply = invocation.call(GetValue(secret=secret))
    if plain:
        output.write_bytes(reply.value.reveal())
    else:
        invocation.show(reply, lambda: f"{base64.b64encode(reply.value.reveal()).decode()}\n")


@command("secret-generate-value", "generate-value", short_help="Have the daemon make a random value.")
@secret_argument
@field_option(
    GenerateValue, "length", metavar="N", type=click.IntRange(1, limits.VALUE_BYTES), default=32, show_default=True
)
@field_option(GenerateValue, "alphabet", metavar="CHARS")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="An alphabet by its name.")
@digest_option(GenerateValue)
def secret_generate_value(
    invocation: Invocation,
    secret: UUID,
    *,
    length: int,
    alphabet: str | None,
    preset: str | None,
    digest: Digest | None,
) -> None:
    """Have the daemon make a value."""
    if alphabet is not None and preset is not None:
        raise click.UsageError("--alphabet and --preset cannot go together.")
    chosen = PRESETS[preset] if preset else alphabet
    reply = invocation.call(GenerateValue(secret=secret, length=length, alphabet=chosen, digest=digest))
    invocation.confirm(reply, "Secret value set")
