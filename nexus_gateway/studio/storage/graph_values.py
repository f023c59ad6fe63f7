"""What an engine answers, made into the plain values that both answer alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from nexus_gateway.studio.storage.errors import BadStatement

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Value


def plain(found: object) -> Value:
    """Make a plain value of what an engine answered.

    Numbers that are none (NaN, infinities) become null, which is what one engine makes of them and
    what JSON can say.

    Raises:
        BadStatement: it is a node, an edge, a path, a date or a point.
    """
    match found:
        case None | bool() | int() | str():
            return found
        case float():
            return found if math.isfinite(found) else None
        case list() | tuple():
            return [plain(one) for one in cast("list[object]", found)]
        case dict():
            found = cast("dict[str, object]", found)
            return {key: plain(one) for key, one in found.items()}
        case _:
            raise BadStatement(
                f"a statement answers texts, numbers, lists and maps, not a {type(found).__name__}:"
                " return the properties that are wanted"
            )
