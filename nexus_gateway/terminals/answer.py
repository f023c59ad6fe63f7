"""`answer`: the same answer every time, which the core gives without Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import plan

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        ValueError: the status is not one of an answer.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"an answer has a status of 200 to 599, found {status}")
    if isinstance(content, str):
        body, usual = content, "text/plain; charset=utf-8"
    else:
        body, usual = msgspec.json.encode(content).decode(), "application/json"
    return plan.Answer(
        status=status, content_type=content_type or usual, body=body, headers=tuple(headers)
    )
