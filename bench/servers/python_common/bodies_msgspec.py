"""The typed bodies as msgspec structs."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

EntityType = Literal["domain", "ip", "person", "organization"]


class Report(Struct):
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


class NewEntity(Struct, forbid_unknown_fields=True):
    entity_id: Annotated[str, Meta(min_length=1, max_length=64)]
    entity_type: EntityType
    tags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=32)]], Meta(max_length=16)]


class Entity(Struct):
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
        id,
        "Quarterly threat report",
        "high",
        0.8731,
        92,
        ["apt", "phishing", "malware", "c2"],
        [101, 102, 103, 104],
        limit,
        "osint-feed",
        "2026-01-15T10:30:00Z",
        1768473000,
    )


def entity(new: NewEntity, owner: str) -> Entity:
    return Entity(
        new.entity_id,
        new.entity_type,
        new.tags,
        "created",
        1,
        0.5125,
        owner,
        "2026-01-15T10:30:00Z",
    )


encode = msgspec.json.Encoder().encode
decode_new = msgspec.json.Decoder(NewEntity).decode
