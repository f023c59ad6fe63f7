"""`answer`: the same answer every time, which the core gives without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import plan

if TYPE_CHECKING:
    from collections.abc import Sequence


WITHOUT_CONTENT = frozenset({204, 205, 304})
"""Statuses whose answers end with their head (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5)."""


def answer(
    content: object,
    *,
    status: int = 200,
    content_type: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> plan.Answer:
    """Write a constant answer: text as it is, anything else as JSON.

    Raises:
        TypeError: the content cannot be written as JSON.
        ValueError: the status is not one of an answer, or one of an answer without content.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"an answer has a status of 200 to 599, found {status}")
    if isinstance(content, str):
        body, usual = content, "text/plain; charset=utf-8"
    elif content is None and status in WITHOUT_CONTENT:
        body, usual = "", "text/plain; charset=utf-8"
    else:
        body, usual = msgspec.json.encode(content).decode(), "application/json"
    if body and status in WITHOUT_CONTENT:
        raise ValueError(
            f"an answer of status {status} has no content, found {len(body)} characters"
        )
    return plan.Answer(
        status=status, content_type=content_type or usual, body=body, headers=tuple(headers)
    )
