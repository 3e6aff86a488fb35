"""The kinds of argument that commands take, and the options that several of them share.

What a person typed is not repeated in an error: it may be a value in the wrong place.
"""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import click

from secretd.model import Digest, UsageType

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


secret_argument = click.argument("secret", metavar="ID", type=UuidType())
file_argument = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
digest_option = click.option(
    "--digest", metavar="DIGEST", type=DigestType(), help="Make the change only if the secret's digest is still this."
)
ephemeral_option = click.option("--ephemeral", is_flag=True, help="Keep the secret in memory only, never on any disk.")

USAGE_TYPES = {usage.value: usage for usage in UsageType if usage is not UsageType.NONE}
"""The usage types that have an id, by the names that are typed."""
