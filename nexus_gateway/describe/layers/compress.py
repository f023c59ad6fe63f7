"""`compress`: answers in the encoding that the client likes best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

_TYPES = (
    "text/*",
    "application/json",
    "application/problem+json",
    "application/openmetrics-text",
    "application/javascript",
    "application/x-ndjson",
    "image/svg+xml",
)
_ENCODINGS = ("br", "gzip")


def compress(
    *,
    min_bytes: int = 1024,
    encodings: Sequence[str] = _ENCODINGS,
    types: Sequence[str] = _TYPES,
) -> plan.Compress:
    """Compress answers of the given content types, never what is encoded already.

    Answers shorter than `min_bytes` stay as they are; `encodings` are in order of
    preference where the client likes several as much.

    Raises:
        ValueError: an encoding is not known.
    """
    for encoding in encodings:
        if encoding not in _ENCODINGS:
            raise ValueError(f"the encodings are {', '.join(_ENCODINGS)}; found {encoding!r}")
    return plan.Compress(min_bytes=min_bytes, encodings=tuple(encodings), types=tuple(types))
