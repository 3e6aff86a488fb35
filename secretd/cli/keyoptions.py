"""The options that say something of a key: what it is for, its tags, and when it is rotated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import click

from secretd import limits
from secretd.cli.parameters import PAIR, on_the_command_line
from secretd.keys import KeyDocument, KeyId, Tag

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

DOCUMENT = """\b
FILE holds a document like this one, of which no part is required:
  <key exportable='no'>
    <id>nightly</id>
    <description>nightly backups</description>
    <tag name='env'>prod</tag>
    <rotation days='90'/>
  </key>
"""
"""What the help of the command that reads a key's document says at its end."""

_SAYING: dict[str, dict[str, Any]] = {
    "--description": {"metavar": "TEXT", "help": "What it is for, for people."},
    "--tag": {**PAIR, "help": "Something else that is said of it; may be repeated. Grants can name keys by it."},
    "--rotate-every": {
        "metavar": "DAYS",
        "type": click.IntRange(1, limits.ROTATION_DAYS),
        "help": "After so many days it gets a new version by itself.",
    },
}
"""What can be said of a key when it is made and later, and what click is told of each."""


def saying_options(function: _Decorated) -> _Decorated:
    """Give a command the options that say something of a key."""
    for name, settings in reversed(_SAYING.items()):
        function = click.option(name, **settings)(function)
    return function


exportable_option = click.option(
    "--exportable", is_flag=True, help="Its bytes may be had with key-export; this is never changed."
)


def described_key(
    key: KeyId | None,
    *,
    description: str | None,
    tag: Sequence[tuple[str, str]],
    exportable: bool,
    rotate_every: int | None,
) -> KeyDocument:
    """Say of a new key what the options do.

    Raises:
        click.BadParameter: docs/keys.md does not allow it.
    """
    with on_the_command_line("the key"):
        return KeyDocument(
            key, description=description or None, tags=_tags(tag), exportable=exportable, rotation=rotate_every
        )


def changed_key(
    before: KeyDocument,
    *,
    description: str | None,
    tag: Sequence[tuple[str, str]],
    untag: Sequence[str],
    rotate_every: int | None,
    no_description: bool,
    no_rotation: bool,
) -> KeyDocument:
    """Say of a key what the options do, and as before what they do not say.

    Raises:
        click.BadParameter: docs/keys.md does not allow it, or the key does not have a tag that was to be dropped.
    """
    if not {one.name for one in before.tags}.issuperset(untag):
        raise click.BadParameter("the key has no such tag.", param_hint="--untag")
    said_anew = {*untag, *(name for name, _ in tag)}
    with on_the_command_line("the key"):
        return replace(
            before,
            description=None if no_description else before.description if description is None else description or None,
            tags=(*(one for one in before.tags if one.name not in said_anew), *_tags(tag)),
            rotation=None if no_rotation else before.rotation if rotate_every is None else rotate_every,
        )


def _tags(pairs: Sequence[tuple[str, str]]) -> tuple[Tag, ...]:
    return tuple(Tag(name, text) for name, text in pairs)
