"""What stands in the store: the first byte of a record's key says it.

Source: docs/storage-format.md, "What stands in the store".
"""

from __future__ import annotations

from typing import Final

ATTRIBUTES: Final = b"a"
VALUE: Final = b"v"
USAGE: Final = b"u"
OWNER: Final = b"o"
USED: Final = b"q"
USES: Final = b"n"
GRANT: Final = b"g"
KEY: Final = b"y"
MATERIAL: Final = b"w"
VERSION_USES: Final = b"c"
DEFAULT_KEY: Final = b"e"
OUT_OF_USE: Final = b"d"
TOMBSTONE: Final = b"x"
LATEST: Final = b"t"
HEAD: Final = b"h"
KEYRING: Final = b"k"

SEALED: Final = (
    *(ATTRIBUTES, VALUE, USAGE, OWNER, USED, USES, GRANT),
    *(KEY, MATERIAL, VERSION_USES, DEFAULT_KEY, OUT_OF_USE, TOMBSTONE, LATEST),
)
"""Those whose records are sealed; the head and the seal file are what the others are proved by."""

STANDING: Final = (GRANT, KEY, DEFAULT_KEY)
"""Those that are read whole at a start, and are in force only if they are all that the head says."""
