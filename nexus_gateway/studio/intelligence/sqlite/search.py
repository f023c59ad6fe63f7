"""Searches as SQL: what matches, its best page, its total and its facets, in one statement.

The statement is joined from constants by what a search asks for; what users sent is bound to names,
never written into it. The words are quoted besides, since FTS5 has a syntax of its own.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.models import Count, Facets
from nexus_gateway.studio.intelligence.sqlite.rows import numbered
from nexus_gateway.studio.intelligence.store import Matches, Place

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from nexus_gateway.studio.intelligence.models import Search

WORDS = 16
"""Words of a search that count; the rest is left out."""
FACETS = 20
"""Values of a facet that are told."""
FACETED = 10_000
"""Matches whose tags are counted at most: 100,000 with three tags each would cost 130 ms."""


def search_statement(search: Search, *, first: bool) -> str:
    """Write the statement that searches: a page of places, the total, and facets with the first.

    What matches is found once, as `hit`, and read by each part.
    """
    parts = [
        "WITH hit AS MATERIALIZED (", _hits(search), ")",
        "SELECT * FROM (SELECT 'item', number, score FROM hit", "" if first else _AFTER,
        "ORDER BY score, number LIMIT :limit)",
        "UNION ALL SELECT 'total', NULL, count(*) FROM hit",
    ]  # fmt: skip
    return " ".join([*parts, _FACETS] if first else parts)


# The place is looked up again: scores shift a little as entities come and go, for all much alike.
_AFTER = (
    "WHERE (score, number) >"
    " (coalesce((SELECT score FROM hit WHERE number = :number), :score), :number)"
)
_FACETS = """
    UNION ALL SELECT * FROM (
        SELECT 'type', entity_type, count(*) AS many
        FROM hit
        GROUP BY entity_type ORDER BY many DESC, entity_type LIMIT :facets
    )
    UNION ALL SELECT * FROM (
        SELECT 'tag', entity_tag.tag, count(*) AS many
        FROM (SELECT number FROM hit LIMIT :faceted) CROSS JOIN entity_tag USING (number)
        GROUP BY entity_tag.tag ORDER BY many DESC, entity_tag.tag LIMIT :facets
    )
"""
_BY_TEXT = (
    "SELECT entity.number, entity.entity_type, bm25(entity_text, 10.0, 10.0, 4.0, 1.0)"
    " - 1000.0 * (entity.name IS :exact COLLATE NOCASE OR entity.entity_id = :exact) AS score"
    " FROM entity_text CROSS JOIN entity ON entity.number = entity_text.rowid"
    " WHERE entity_text MATCH :words"
)
_BY_TAG = (
    "SELECT entity.number, entity.entity_type, -entity.number AS score"
    " FROM entity_tag AS led CROSS JOIN entity ON entity.number = led.number"
    " WHERE led.tenant = :tenant AND led.tag = :tag0"
)
_HAS_TAG = (
    "AND EXISTS (SELECT 1 FROM entity_tag AS tagged WHERE tagged.tenant = :tenant"
    " AND tagged.tag = :tag0 AND tagged.number = entity.number)"
)
_BY_AGE = "SELECT entity.number, entity.entity_type, -entity.number AS score FROM entity WHERE true"


def _hits(search: Search) -> str:
    led_by_tag = not search.q and bool(search.tag)
    source = _BY_TEXT if search.q else _BY_TAG if led_by_tag else _BY_AGE
    clauses = [source, "AND entity.tenant = :tenant AND entity.number <= :ceiling"]
    if search.type is not None:
        clauses.append("AND entity.entity_type = :type")
    others = range(int(led_by_tag), len(search.tag))
    clauses += [_HAS_TAG.replace(":tag0", f":tag{index}") for index in others]
    return " ".join(clauses)


def match_expression(text: str) -> str | None:
    """Write a text as FTS5's syntax: every word quoted, all needed, the last as a beginning.

    None where there is no letter and no digit in it.

    >>> match_expression("python3 AND pip")
    '"python3" "AND" "pip"*'
    """
    words = [word for word in text.replace("\0", " ").split() if any(map(str.isalnum, word))]
    if not words:
        return None
    quoted = ['"' + word.replace('"', '""') + '"' for word in words[:WORDS]]
    return " ".join(quoted) + "*"


def find(
    connection: sqlite3.Connection,
    statement: str,
    names: Mapping[str, str | int | float | None],
    *,
    first: bool,
) -> Matches:
    """Run the statement of a search and load its page."""
    places: dict[int, Place] = {}
    total = 0
    facets: defaultdict[str, list[Count]] = defaultdict(list)
    for kind, value, figure in connection.execute(statement, names):
        if kind == "item":
            places[value] = Place(figure, value)
        elif kind == "total":
            total = figure
        else:
            facets[kind].append(Count(value, figure))
    items = tuple((places[number], entity) for number, entity in numbered(connection, places))
    if not first:
        return Matches(items, total, None)
    types, tags = tuple(facets["type"]), tuple(facets["tag"])
    return Matches(items, total, Facets(types, tags, complete=total <= FACETED))
