"""The studio with less in it: what an entity request costs when layers of it are left out.

`LAYERS=native` answers from the core, with the studio's chains before a constant. `LAYERS=constant`
enters Python for the same constant. `LAYERS=values` is the studio's own routes and service, with
single entities kept in memory: all of it but the database. Settings are the studio's.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import (
    Claims,
    Filter,
    Response,
    Routes,
    auth,
    body_bytes,
    get,
    header,
    path,
    post,
    rate_limit,
    require,
)
from nexus_gateway.server import Application, serve
from nexus_gateway.server.settings import Settings, load
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.engines import database_path
from nexus_gateway.studio.intelligence import routes as intelligence
from nexus_gateway.studio.intelligence.models import Entity, Stamp
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.storage.sqlite import Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.store import Edit

MOST_KEPT = 1_000
MADE = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
ENTITY = Entity(
    entity_id="ent-000001-threat-actor",
    entity_type="organization",
    name=None,
    tags=("apt29", "phishing", "government", "europe", "2026-q1", "high-value"),
    attributes=msgspec.Raw(b"{}"),
    created_at=MADE,
    updated_at=MADE,
    revision=1,
)
BODY = msgspec.json.encode(ENTITY)
HEADERS = (("etag", '"1-6484e1f2a7a00"'),)
PLACE = ("location", "/api/intelligence/entities/ent-000001-threat-actor")
FOUND = Response(BODY, 200, HEADERS, "application/json")
CREATED = Response(BODY, 201, (PLACE, *HEADERS), "application/json")

one = intelligence.entities / intelligence.ID & get()
new = intelligence.entities & post()
if_none_match = header("if-none-match").optional()


class KeptEntities(SqliteEntities):
    """The store with single entities in memory, at most `MOST_KEPT`; all else is in SQLite."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._kept: dict[str, Entity] = {}

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """Look an entity up."""
        return self._kept.get(tenant + entity_id)

    async def change(
        self, tenant: str, edits: Sequence[tuple[str, Edit]], stamp: Stamp
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply each edit, and keep its outcome while there is room."""
        del stamp
        changes: list[tuple[Entity | None, Entity | None]] = []
        for entity_id, edit in edits:
            before = self._kept.get(tenant + entity_id)
            after = edit(before)
            changes.append((before, after))
            if after is not None and len(self._kept) < MOST_KEPT:
                self._kept[tenant + entity_id] = after
        return changes


async def show(entity_id: str, claims: Claims, if_none_match: str | None) -> Response[bytes]:
    """Answer the constant, whichever is asked for."""
    del entity_id, claims, if_none_match
    return FOUND


async def create(claims: Claims, draft: bytes) -> Response[bytes]:
    """Answer the constant, whatever is sent."""
    del claims, draft
    return CREATED


def native(limited: Filter[()]) -> Routes:
    """Chain as the studio does, and answer from the core."""
    read = require(scope="intelligence:read") & limited
    write = require(scope="intelligence:write") & limited
    entity = msgspec.Raw(BODY)
    return (one & read & if_none_match).answer(entity, headers=HEADERS) | (
        new & write & body_bytes()
    ).answer(entity, status=201, headers=[PLACE, *HEADERS])


def constant(limited: Filter[()]) -> Routes:
    """Chain as the studio does, and answer a constant from Python."""
    read = auth(scope="intelligence:read") & limited
    write = auth(scope="intelligence:write") & limited
    return (one & read & if_none_match).then(show) | (new & write & body_bytes()).then(create)


def values(limited: Filter[()], settings: Settings) -> Routes:
    """Take the studio's routes, over the store in memory."""
    store = KeptEntities(Database(database_path(settings)))
    return intelligence.routes(Entities(store), limited)


def application(layers: str) -> Application:
    """Replace the routes of the studio's composition."""
    settings = load()
    limited = rate_limit(settings.rate_limit, by="subject", name="subject")
    chosen = {
        "native": lambda: native(limited),
        "constant": lambda: constant(limited),
        "values": lambda: values(limited, settings),
    }[layers]()
    health = (path("health") & get()).answer({"status": "ok"})
    return msgspec.structs.replace(compose(settings), routes=health | chosen)


if __name__ == "__main__":
    serve(application(os.environ["LAYERS"]), port=int(os.environ["PORT"]))
