"""The borders at which an exception that nobody foresaw ends: a request's, and the process's own.

Who asked learns that it happened, and an id; the log has the id, the kind of the exception and where it was
raised, but never its text, for that may quote a value.
"""

from __future__ import annotations

import logging
import traceback
from uuid import uuid4

from secretd.errors import WIRE_ERRORS, InternalError, SecretdError

_log = logging.getLogger(__name__)


def error_for_peer(error: Exception) -> SecretdError:
    """Give what the peer is told of an exception that ended his request: one of WIRE_ERRORS."""
    if isinstance(error, SecretdError) and error.code in WIRE_ERRORS:
        return error
    return unforeseen(error)


def unforeseen(error: BaseException) -> InternalError:
    """Put an exception into the log, and give what may be said of it elsewhere."""
    error_id = uuid4().hex[:12]
    where = [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("internal error", extra={"id": error_id, "kind": type(error).__name__, "where": where})
    return InternalError(f"internal error {error_id}: the daemon's log says more")
