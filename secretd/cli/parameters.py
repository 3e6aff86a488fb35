"""The kinds of argument that commands take, and the options that several of them share.

What a person typed is not repeated in an error: it may be a value in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from secretd.errors import InvalidDocumentError
from secretd.model import Digest, UsageType
from secretd.operations import Reply, Request, fields_of

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

# As virUUIDParse of libvirt takes it, less the spaces: 32 digits of either case, the dashes optional.
_UUID = re.compile("[0-9a-f]{8}(-?)(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_DIGEST = re.compile("[0-9a-f]{32}")


class UuidType(click.ParamType[UUID]):
    """The id of a secret."""

    name = "uuid"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        """Take a UUID in any case, with dashes or without."""
        if not _UUID.fullmatch(str(value)):
            self.fail("this is not a UUID.", param, ctx)
        return UUID(str(value))


class DigestType(click.ParamType[Digest]):
    """The digest of a secret."""

    name = "digest"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Digest:
        """Take a digest as --json shows it."""
        if not _DIGEST.fullmatch(str(value)):
            self.fail("this is not a digest: 32 hex digits, as --json shows them.", param, ctx)
        return Digest(str(value))


def field_option(request: type[Request[Reply]], name: str, **settings: Any) -> Callable[[_Decorated], _Decorated]:
    """Make the option that stands for a field of a request; its name and its help are the table's.

    Args:
        request: what the command asks of the daemon.
        name: the field's, in Python.
        settings: as click.Option takes them.
    """
    field = next(field for field in fields_of(request) if field.name == name)
    return click.option(f"--{field.xml_name}", help=as_sentence(field.help.text), **settings)


def digest_option(request: type[Request[Reply]]) -> Callable[[_Decorated], _Decorated]:
    """Make the option that ties a change to the digest of what is to be changed."""
    return field_option(request, "digest", metavar="DIGEST", type=DigestType())


def as_sentence(text: str) -> str:
    """Write a field's help as options have theirs."""
    return f"{text[0].upper()}{text[1:]}."


@contextmanager
def on_the_command_line(parameter: str) -> Iterator[None]:
    """Say of a text that no document can hold which parameter it came from.

    Raises:
        click.BadParameter: instead of InvalidDocumentError, as there is no document that could be mended.
    """
    try:
        yield
    except InvalidDocumentError as error:
        raise click.BadParameter(f"{error.message}.", param_hint=parameter) from None


secret_argument = click.argument("secret", metavar="ID", type=UuidType())
file_argument = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))

USAGE_TYPES = {usage.value: usage for usage in UsageType if usage is not UsageType.NONE}
"""The usage types that have an id, by the names that are typed."""
