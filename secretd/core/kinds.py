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
HEAD: Final = b"h"
KEYRING: Final = b"k"

SEALED: Final = (ATTRIBUTES, VALUE, USAGE, OWNER, USED, USES, GRANT)
"""Those whose records are sealed; the head and the seal file are what the others are proved by."""
