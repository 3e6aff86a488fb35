"""The commands that use keys: data-key-generate, encrypt, decrypt, rewrap.

A blob is read from a file or standard input, as its bytes or in base64.  A file that is named for what comes out gets
the bytes, and standard output base64, as of every value.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from secretd import limits
from secretd.cli import inputs, output
from secretd.cli.delivery import STDOUT, deliver, in_base64, output_option
from secretd.cli.invocation import Invocation, command
from secretd.cli.newfile import WhatIsThere, new_file
from secretd.cli.parameters import FILE, KEY, PAIR, FileType, field_option, on_the_command_line
from secretd.cli.rewrapping import rewrap_in_place
from secretd.errors import RemoteProtocolError
from secretd.keyrequests import DataKey, Decrypt, Encrypt, GenerateDataKey, Rewrap
from secretd.keys import ContextPair, DataKeySpec, KeyId, context_of
from secretd.model import SecretValue, check_text

_MAYBE_FILE: dict[str, Any] = {**FILE, "metavar": "[FILE]", "default": "-"}

Pairs = Sequence[tuple[str, str]]


def _context(pairs: Pairs) -> tuple[ContextPair, ...]:
    context = tuple(ContextPair(name, text) for name, text in pairs)
    with on_the_command_line("--context"):
        for text in chain(*pairs):
            check_text(text, "an encryption context", limits.CONTEXT_TEXT_BYTES)
        context_of(context)
    return context


@command("data-key-generate", "generate-data-key", short_help="Make a key for one object, and seal it.")
@click.argument("key", **{**KEY, "metavar": "[ID]", "required": False})
@field_option(
    GenerateDataKey,
    "spec",
    type=click.Choice([one.value for one in DataKeySpec]),
    default=DataKeySpec.AES_256.value,
    show_default=True,
)
@field_option(GenerateDataKey, "context", **PAIR)
@output_option("--blob", "Write the blob to this new file, mode 0600; the data key alone is shown.")
@click.option("--wrapped-only", is_flag=True, help="Give the blob alone, and not the data key in the clear.")
@click.option("--plain", is_flag=True, help="Write exactly the bytes of the data key, and nothing after them.")
def data_key_generate(
    invocation: Invocation,
    *,
    key: KeyId | None,
    spec: str,
    context: Pairs,
    to_file: Path | None,
    wrapped_only: bool,
    plain: bool,
) -> None:
    """Make a data key."""
    to_file = None if to_file == STDOUT else to_file
    if plain and (invocation.json or wrapped_only or to_file is None):
        raise click.UsageError("--plain writes the data key alone: it takes --blob FILE, and no other form.")
    request = GenerateDataKey(key, DataKeySpec(spec), clear=not wrapped_only, context=_context(context))
    if wrapped_only:
        deliver(invocation, request, "blob", to_file, "The blob")
    elif to_file is None:
        reply = invocation.call(request)
        invocation.show(reply, lambda: _both(reply))
    else:
        _generate_into(invocation, request, to_file, plain)


def _generate_into(invocation: Invocation, request: GenerateDataKey, to_file: Path, plain: bool) -> None:
    """Show a data key once its blob is on disk: what is sealed by a key whose blob was lost would be lost too."""
    with new_file(to_file, WhatIsThere.KEPT) as written:
        reply = invocation.call(request)
        written.write(reply.blob.data)
    value = _clear(reply)
    if plain:
        output.write_bytes(value.reveal())
    else:
        more = {"blob": None, "file": str(to_file), "bytes": written.size}
        invocation.show(reply, lambda: in_base64(value), more)


def _both(reply: DataKey) -> str:
    return output.draw(
        ["", ""],
        [("Data key:", in_base64(_clear(reply)).rstrip()), ("Blob:", in_base64(reply.blob).rstrip())],
    )


def _clear(reply: DataKey) -> SecretValue:
    if reply.value is None:
        raise RemoteProtocolError("the daemon gave no data key, but its blob alone")
    return reply.value


@command("encrypt", "encrypt", short_help="Seal the bytes of a file by a key.")
@click.argument("file", **_MAYBE_FILE)
@field_option(Encrypt, "key", **KEY)
@field_option(Encrypt, "context", **PAIR)
@output_option("--output", "Write the blob to this new file, mode 0600.")
def encrypt(invocation: Invocation, *, file: Path, key: KeyId | None, context: Pairs, to_file: Path | None) -> None:
    """Seal what is in a file."""
    request = Encrypt(inputs.read_plain(file), key, _context(context))
    deliver(invocation, request, "blob", to_file, "The blob")


@command("decrypt", "decrypt", short_help="Open a blob.")
@click.argument("file", **_MAYBE_FILE)
@field_option(Decrypt, "key", **KEY)
@field_option(Decrypt, "context", **PAIR)
@output_option("--output", "Write what was sealed to this new file, mode 0600.")
@click.option("--plain", is_flag=True, help="Write exactly the bytes of what was sealed, and nothing after them.")
def decrypt(
    invocation: Invocation, *, file: Path, key: KeyId | None, context: Pairs, to_file: Path | None, plain: bool
) -> None:
    """Open a blob."""
    if plain and invocation.json:
        raise click.UsageError("--plain and --json cannot go together: JSON has the bytes in base64.")
    blob, _ = inputs.read_blob(file)
    request = Decrypt(blob, key, _context(context))
    if plain and to_file in (None, STDOUT):
        output.write_bytes(invocation.call(request).value.reveal())
    else:
        deliver(invocation, request, "value", to_file, "What was sealed")


@command("rewrap", "rewrap", short_help="Seal blobs anew, without opening them.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FileType())
@field_option(Rewrap, "key", **KEY)
@field_option(Rewrap, "context", **PAIR)
@output_option("--output", "Write the new blob of one FILE to this new file, mode 0600, and leave FILE as it is.")
def rewrap(
    invocation: Invocation, *, files: Sequence[Path], key: KeyId | None, context: Pairs, to_file: Path | None
) -> None:
    """Seal blobs anew, each in its file, or one of them elsewhere."""
    elsewhere = to_file is not None or inputs.STDIN in files
    if elsewhere and len(files) > 1:
        raise click.UsageError("--output and standard input are for one blob alone.")
    pairs = _context(context)
    if elsewhere:
        blob, _ = inputs.read_blob(files[0])
        deliver(invocation, Rewrap(blob, key, pairs), "blob", to_file, "The new blob")
    else:
        rewrap_in_place(invocation, files, key, pairs)
