"""The log: one JSON object a line on standard error, for journald and people with jq.

A record is an event in fixed words and fields by name.  Only what a caller of logging names as a field is
written, and the text of an exception never is: it may quote a value.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info and record.exc_info[0]:
            line["kind"] = record.exc_info[0].__name__
        return json.dumps(line, default=lambda value: type(value).__name__)


def set_up(level: int) -> None:
    """Send everything from this level on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    # The words of libraries are not ours to vouch for, so only our own loggers are heard.
    logger = logging.getLogger("secretd")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
