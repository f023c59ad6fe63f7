"""The bridge from `logging` into the core's log: one stream of lines, written by one thread."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

    from nexus_gateway import _core, plan

_LEVELS: list[tuple[int, plan.Level]] = [
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
]


class CoreHandler(logging.Handler):
    """Writes the records of the package's loggers to a core's log, for as long as it is entered."""

    def __init__(self, core: _core.Core) -> None:
        super().__init__()
        self._core = core
        self._logger = logging.getLogger("nexus_gateway")

    def __enter__(self) -> Self:
        """Take the package's records."""
        self._logger.addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave them to others."""
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a traceback becomes one field of it."""
        fields = {"message": record.getMessage(), "logger": record.name}
        for name in ("request_id", "handler"):
            value: object = getattr(record, name, None)
            if isinstance(value, str):
                fields[name] = value
        if record.exc_info is not None:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        level = next((name for least, name in _LEVELS if record.levelno >= least), "debug")
        # What an exception says may hold lone surrogates, which UTF-8 has no bytes for.
        written = {
            name: text.encode("utf-8", "backslashreplace").decode() for name, text in fields.items()
        }
        self._core.log(level, msgspec.json.encode(written))
