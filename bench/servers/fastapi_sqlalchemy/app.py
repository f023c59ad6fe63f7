"""The studio's entities as a program of FastAPI and SQLAlchemy, as their documentations write one.

A session for each request by a dependency, the ORM's asyncio extension over asyncpg, pydantic
models in and out. An entity and its tags are two tables, as in the studio; it has no index of words
and no totals of tags, which the studio keeps too.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from pipeline import Denied, authorize, buckets, observe, request_id, route_of, traceparent
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, ForeignKey, UniqueConstraint, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

engine = create_async_engine(
    os.environ["NEXUS_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=10,
    max_overflow=0,
)
Session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class EntityRow(Base):
    __tablename__ = "peer_entity"
    __table_args__ = (UniqueConstraint("tenant", "entity_id"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(index=True)
    entity_id: Mapped[str]
    entity_type: Mapped[str] = mapped_column(index=True)
    name: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    created_by: Mapped[str]
    revision: Mapped[int] = mapped_column(default=1)
    tag_rows: Mapped[list["TagRow"]] = relationship(cascade="all, delete-orphan")

    @property
    def tags(self) -> list[str]:
        return [row.tag for row in self.tag_rows]


class TagRow(Base):
    __tablename__ = "peer_entity_tag"

    number: Mapped[int] = mapped_column(ForeignKey("peer_entity.number"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True, index=True)


class Draft(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entity_id: Annotated[
        str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+~=,-]*$")
    ]
    entity_type: Annotated[str, Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(max_length=256)] | None = None
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=64)]
    attributes: dict[str, Any] = {}


class Entity(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    entity_id: str
    entity_type: str
    name: str | None
    tags: list[str]
    attributes: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    created_by: str
    revision: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
api = FastAPI()


@app.get("/health")
async def health():
    return {"status": "ok"}


async def session() -> AsyncIterator[AsyncSession]:
    async with Session() as opened:
        yield opened


Opened = Annotated[AsyncSession, Depends(session)]


def secured(scope: str):
    async def dependency(authorization: Annotated[str | None, Header()] = None) -> dict:
        claims = authorize(authorization, scope)
        buckets.take(claims["sub"])
        return claims

    return Depends(dependency)


@api.exception_handler(Denied)
async def denied(request: Request, exc: Denied):
    return JSONResponse({"error": exc.message}, exc.status)


@api.post("/entities", response_model=Entity, status_code=201)
async def create(
    draft: Draft,
    claims: Annotated[dict, secured("intelligence:write")],
    session: Opened,
    response: Response,
):
    now = datetime.now(UTC).replace(tzinfo=None)
    row = EntityRow(
        tenant=claims.get("tenant", ""),
        entity_id=draft.entity_id,
        entity_type=draft.entity_type,
        name=draft.name,
        attributes=draft.attributes,
        created_at=now,
        updated_at=now,
        created_by=claims["sub"],
        revision=1,
        tag_rows=[TagRow(tag=tag) for tag in dict.fromkeys(draft.tags)],
    )
    session.add(row)
    try:
        await session.commit()
    except IntegrityError:
        raise HTTPException(409, "it exists already") from None
    response.headers["etag"] = f'"{row.revision}"'
    response.headers["location"] = f"/api/intelligence/entities/{row.entity_id}"
    return row


@api.get("/entities/{entity_id}", response_model=Entity)
async def show(
    entity_id: str,
    claims: Annotated[dict, secured("intelligence:read")],
    session: Opened,
    response: Response,
):
    found = await session.scalars(
        select(EntityRow)
        .where(EntityRow.tenant == claims.get("tenant", ""), EntityRow.entity_id == entity_id)
        .options(selectinload(EntityRow.tag_rows))
    )
    row = found.one_or_none()
    if row is None:
        raise HTTPException(404, "there is no such entity")
    response.headers["etag"] = f'"{row.revision}"'
    return row


api.add_middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"])


@api.middleware("http")
async def observed(request: Request, call_next):
    started = time.perf_counter()
    response = await call_next(request)
    response.headers["x-request-id"] = request_id()
    response.headers["traceparent"] = traceparent()
    observe(
        request.method,
        route_of(request.url.path),
        response.status_code,
        time.perf_counter() - started,
    )
    return response


app.mount("/api/intelligence", api)
