"""One line for each thing that happened: a plain sentence, then pairs with their units."""

import logging
import sys
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGGER = logging.getLogger("bayplan")


class _PairsFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123 INFO gang admitted workload=gang:a/b pods=4`."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, and the story of an exception below it."""
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        pairs = cast("Mapping[str, object]", getattr(record, "pairs", {}))
        text = f"{stamp}.{int(record.msecs):03d} {record.levelname} {record.getMessage()}"
        text += "".join(f" {key}={_quoted(value)}" for key, value in pairs.items())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(level: str, stream: TextIO = sys.stderr) -> None:
    """Send everything at `level` and above to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_PairsFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def info(sentence: str, **pairs: object) -> None:
    """Something happened as it should."""
    LOGGER.info(sentence, extra={"pairs": pairs})


def warning(sentence: str, **pairs: object) -> None:
    """Something is wrong, and the service goes on."""
    LOGGER.warning(sentence, extra={"pairs": pairs})


def error(sentence: str, error: BaseException, **pairs: object) -> None:
    """Something failed that should not be able to."""
    LOGGER.error(sentence, extra={"pairs": pairs}, exc_info=error)


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
