"""The commands that make keys, show them, and change what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from secretd.cli import inputs, output
from secretd.cli.invocation import Invocation, command
from secretd.cli.keyoptions import DOCUMENT, changed_key, described_key, exportable_option, saying_options
from secretd.cli.keyoutput import described_key_tables, keys_table
from secretd.cli.paging import pages
from secretd.cli.parameters import FILE, KEY, digest_option, field_option, key_argument
from secretd.keyrequests import KeyCreate, KeyDefault, KeyDescribe, KeyList, KeyUpdate
from secretd.keys import KeyDocument, KeyId
from secretd.model import Digest

_MAYBE_KEY: dict[str, Any] = {**KEY, "metavar": "[ID]", "required": False}


@command("key-create", "key-create", short_help="Make a key.", epilog=DOCUMENT)
@click.argument("key", **_MAYBE_KEY)
@click.option("--file", help="Read what is said of it from this file, - for standard input.", **FILE)
@saying_options
@exportable_option
def key_create(invocation: Invocation, *, key: KeyId | None, file: Path | None, **said: Any) -> None:
    """Make a key, of which a file or the options say what there is to say."""
    if file is not None and any(said.values()):
        raise click.UsageError("give --file, or the options that describe the key, and not both.")
    document = _read_document(file, key) if file is not None else described_key(key, **said)
    reply = invocation.call(KeyCreate(document))
    invocation.confirm(reply, f"Key {reply.key} created")


def _read_document(file: Path, key: KeyId | None) -> KeyDocument:
    document = inputs.read_key_document(file)
    if key is not None and document.id not in (None, key):
        raise click.UsageError("the document has another id.")
    return document if key is None else replace(document, id=key)


@command("key-list", "key-list")
@field_option(KeyList, "archived", is_flag=True)
def key_list(invocation: Invocation, *, archived: bool) -> None:
    """List all keys."""
    with invocation.asking() as client:
        entries = [entry for page in pages(client, KeyList(archived=archived)) for entry in page.entries]
    invocation.show(entries, lambda: keys_table(entries, headed=not invocation.quiet))


@command("key-describe", "key-describe", short_help="Say all that is known of a key.")
@key_argument
@click.option("--xml", is_flag=True, help="Print the key's document, and nothing else.")
def key_describe(invocation: Invocation, *, key: KeyId, xml: bool) -> None:
    """Show what is known of a key."""
    if xml and invocation.json:
        raise click.UsageError("--xml and --json cannot go together: JSON has the document's parts.")
    reply = invocation.call(KeyDescribe(key))
    invocation.show(reply, lambda: output.as_xml(reply.document) if xml else described_key_tables(reply))


@command("key-update", "key-update", help="Change what is said of a key.")
@key_argument
@saying_options
@click.option("--no-description", is_flag=True, help="Nothing is said of what it is for.")
@click.option("--untag", metavar="NAME", multiple=True, help="Drop this tag; may be repeated.")
@click.option("--no-rotation", is_flag=True, help="It gets no new version by itself.")
@digest_option(KeyUpdate)
def key_update(invocation: Invocation, *, key: KeyId, digest: Digest | None, **said: Any) -> None:
    """Change what the options say, and nothing else: the whole document is read, and written if it is still that."""
    if not any(value not in (None, False, ()) for value in said.values()):
        raise click.UsageError("say what to change: --description, --tag, --untag, --rotate-every or --no-rotation.")
    for one, other in (("description", "no_description"), ("rotate_every", "no_rotation")):
        if said[one] is not None and said[other]:
            names = [f"--{name.replace('_', '-')}" for name in (one, other)]
            raise click.UsageError(f"{' and '.join(names)} cannot go together.")
    with invocation.asking() as client:
        before = client.call(KeyDescribe(key))
        document = changed_key(before.document, **said)
        reply = client.call(KeyUpdate(key, document, digest=digest or before.digest))
    invocation.confirm(reply, f"Key {reply.key} changed")


@command("key-default", "key-default", short_help="Say which key is used where none is named.")
@click.argument("key", **_MAYBE_KEY)
@click.option("--none", is_flag=True, help="No key is.")
def key_default(invocation: Invocation, *, key: KeyId | None, none: bool) -> None:
    """Set the default key, or have none."""
    if none == (key is not None):
        raise click.UsageError("name a key, or say --none.")
    reply = invocation.call(KeyDefault(key))
    invocation.confirm(reply, "There is no default key now" if key is None else f"Key {key} is the default now")
