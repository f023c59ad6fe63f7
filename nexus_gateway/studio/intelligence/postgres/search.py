"""Searches as SQL of PostgreSQL: what matches, its best page, its total and its facets, at once.

The statement is joined from constants by what a search asks for; what users sent is bound to
parameters, never written into it. The answers are those of the SQLite store but for the figures of
relevance, which each engine reckons by its own formula.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.models import Count, Facets
from nexus_gateway.studio.intelligence.postgres.rows import numbered
from nexus_gateway.studio.intelligence.postgres.words import question
from nexus_gateway.studio.intelligence.store import Matches, Place

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.models import Search
    from nexus_gateway.studio.storage.postgres import Session

FACETS = 20
"""Values of a facet that are told."""
FACETED = 10_000
"""Matches whose tags are counted at most."""

_BY_TEXT = (
    "SELECT entity.number, entity.entity_type,"
    # Weights of D, C, B and A; 1 tempers the advantage of long texts.
    " -ts_rank('{0.1, 0.1, 0.4, 1.0}', words, asked, 1)::float8"
    " - CASE WHEN lower(name) = lower($8) OR entity_id = $8 THEN 1000 ELSE 0 END AS score"
    " FROM entity, CAST($7::text AS tsquery) AS asked WHERE words @@ asked"
)
_BY_AGE = (
    "SELECT entity.number, entity.entity_type, (-entity.number)::float8 AS score FROM entity"
    " WHERE $7::text IS NULL AND $8::text IS NOT NULL"
)
_HAS_TAG = (
    " AND EXISTS (SELECT 1 FROM entity_tag AS tagged WHERE tagged.tenant = $1"
    " AND tagged.tag = ($3::text[])[{place}] AND tagged.number = entity.number)"
)
# The place is looked up again: scores shift a little as entities come and go, for all much alike.
_AFTER = (
    "WHERE $5::bigint IS NULL OR (score, number) >"
    " (coalesce((SELECT score FROM hit WHERE number = $5), $6::float8), $5)"
)
_PAGE = f"""
    (SELECT 'item', NULL, number, score FROM hit {_AFTER} ORDER BY score, number LIMIT $4)
    UNION ALL SELECT 'total', NULL, count(*), NULL FROM hit
"""  # noqa: S608 - joined from constants
_FACETS = f"""
    UNION ALL (
        SELECT 'type', entity_type, count(*) AS many, NULL
        FROM hit GROUP BY entity_type ORDER BY many DESC, entity_type LIMIT {FACETS}
    )
    UNION ALL (
        SELECT 'tag', entity_tag.tag, count(*) AS many, NULL
        FROM (SELECT number FROM hit LIMIT {FACETED}) AS faceted JOIN entity_tag USING (number)
        GROUP BY entity_tag.tag ORDER BY many DESC, entity_tag.tag LIMIT {FACETS}
    )
"""  # noqa: S608 - joined from constants and figures of ours


def search_statement(search: Search, *, first: bool) -> str:
    """Write the statement that searches: a page of places, the total, and facets with the first.

    Parameters: tenant, ceiling, tags, limit, number and score of the place it goes on after, the
    words as a `tsquery`, the text as it was sent, and the type where one is asked for.
    """
    source = _BY_TEXT if search.q else _BY_AGE
    kind = " AND entity.entity_type = $9" if search.type is not None else ""
    tags = "".join(_HAS_TAG.format(place=index + 1) for index in range(len(search.tag)))
    hits = f"{source} AND entity.tenant = $1 AND entity.number <= $2{kind}{tags}"
    facets = _FACETS if first else ""
    # Without tags their parameter would have no type.
    return f"WITH hit AS MATERIALIZED ({hits}), typed AS (SELECT $3::text[]) {_PAGE} {facets}"


async def find(
    session: Session, tenant: str, search: Search, ceiling: int, after: Place | None
) -> Matches:
    """Search entities numbered up to `ceiling`, going on after a place; the best first."""
    first = after is None
    words = question(search.q) if search.q else None
    if search.q and words is None:
        return Matches((), 0, Facets((), (), complete=True) if first else None)
    values: list[object] = [
        tenant,
        ceiling,
        [plain(tag) for tag in search.tag],
        search.limit + 1,
        None if after is None else after.number,
        None if after is None else after.score,
        words,
        plain(search.q.strip()),
        *([plain(search.type)] if search.type is not None else []),
    ]
    rows = await session.fetch(search_statement(search, first=first), *values)
    places = {row[2]: Place(row[3], row[2]) for row in rows if row[0] == "item"}
    counts: defaultdict[str, list[Count]] = defaultdict(list)
    for kind, value, figure, _ in rows:
        if kind in {"type", "tag"}:
            counts[kind].append(Count(value, figure))
    total = next(row[2] for row in rows if row[0] == "total")
    items = tuple((places[number], entity) for number, entity in await numbered(session, places))
    if not first:
        return Matches(items, total, None)
    facets = Facets(tuple(counts["type"]), tuple(counts["tag"]), complete=total <= FACETED)
    return Matches(items, total, facets)


def plain(text: str) -> str:
    r"""Replace what PostgreSQL takes in no text by what none of ours has, so that nothing is found.

    >>> plain("a\\0")
    'a\\x01'
    """
    return text.replace("\0", "\1")
