"""A back end of one's own over PostgreSQL: a table, its queries, its routes.

export NEXUS_DATABASE_URL=postgresql://user:password@127.0.0.1/notes
nexus-gateway serve with_db:application
curl http://127.0.0.1:8000/notes -H 'content-type: application/json' -d '{"title": "tea"}'
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from nexus_gateway import Reject, body, created, delete, get, param, path, post, public, query
from nexus_gateway.server import Application
from nexus_gateway.studio.refusals import refuse_storage
from nexus_gateway.studio.storage.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway import Response

TABLE = "CREATE TABLE IF NOT EXISTS note (id int GENERATED ALWAYS AS IDENTITY, title text NOT NULL)"


class Draft(msgspec.Struct, frozen=True):
    title: Annotated[str, Meta(min_length=1, max_length=200)]


class Note(msgspec.Struct, frozen=True):
    id: int
    title: str


class Wanted(msgspec.Struct, frozen=True):
    after: int = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Notes:
    def __init__(self, database: Postgres) -> None:
        self._database = database

    async def keep(self, draft: Draft) -> Response[Note]:
        statement = "INSERT INTO note (title) VALUES ($1) RETURNING id, title"
        note = Note(*(await self._database.fetch(statement, draft.title))[0])
        return created(note, location=f"/notes/{note.id}")

    async def page(self, wanted: Wanted) -> list[Note]:
        statement = "SELECT id, title FROM note WHERE id > $1 ORDER BY id LIMIT $2"
        rows = await self._database.fetch(statement, wanted.after, wanted.limit)
        return [Note(*row) for row in rows]

    async def show(self, number: int) -> Note:
        rows = await self._database.fetch("SELECT id, title FROM note WHERE id = $1", number)
        if not rows:
            raise Reject("not_found", f"there is no note {number}")
        return Note(*rows[0])

    async def forget(self, number: int) -> None:
        await self._database.fetch("DELETE FROM note WHERE id = $1", number)


def build(url: str) -> Application:
    database = Postgres(url, pool=10, wait=2.0, timeout=5.0)
    notes, on = path("notes"), Notes(database)
    one = notes / param("number", Annotated[int, Meta(ge=1, le=2**31 - 1)])

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        async with database:
            await database.fetch(TABLE)
            yield

    routes = (
        (notes & post() & public() & body(Draft)).then(on.keep, status=201)
        | (notes & get() & query(Wanted)).then(on.page)
        | (one & get()).then(on.show, raises=["not_found"])
        | (one & delete() & public()).then(on.forget, status=204)
    ).recover(refuse_storage)  # a database that is away is a 503 with Retry-After
    return Application(routes, lifespan=opened)


def application() -> Application:
    return build(os.environ["NEXUS_DATABASE_URL"])
