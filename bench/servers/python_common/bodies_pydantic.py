"""The typed bodies as pydantic models."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Report(BaseModel):
    id: str
    title: str
    severity: str
    score: float
    confidence: int
    tags: list[str]
    entities: list[int]
    limit: int
    source: str
    created_at: str
    updated: int


class NewEntity(BaseModel):
    entity_id: Annotated[str, Field(min_length=1, max_length=64)]
    entity_type: Literal["domain", "ip", "person", "organization"]
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=32)]], Field(max_length=16)]


class Entity(BaseModel):
    entity_id: str
    entity_type: str
    tags: list[str]
    status: str
    revision: int
    score: float
    owner: str
    created_at: str


def report(id: str, limit: int) -> Report:
    return Report(
        id=id,
        title="Quarterly threat report",
        severity="high",
        score=0.8731,
        confidence=92,
        tags=["apt", "phishing", "malware", "c2"],
        entities=[101, 102, 103, 104],
        limit=limit,
        source="osint-feed",
        created_at="2026-01-15T10:30:00Z",
        updated=1768473000,
    )


def entity(new: NewEntity, owner: str) -> Entity:
    return Entity(
        entity_id=new.entity_id,
        entity_type=new.entity_type,
        tags=new.tags,
        status="created",
        revision=1,
        score=0.5125,
        owner=owner,
        created_at="2026-01-15T10:30:00Z",
    )
