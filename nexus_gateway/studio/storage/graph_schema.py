"""What both engines are told at start: who is who, and by what nodes are found."""

from __future__ import annotations

from nexus_gateway.studio.storage.graph import LABEL

SCHEMA = (
    f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{LABEL}) REQUIRE (n.tenant, n.entity_id) IS UNIQUE",
    f"CREATE INDEX IF NOT EXISTS FOR (n:{LABEL}) ON (n.tenant, n.entity_type)",
    f"CREATE INDEX IF NOT EXISTS FOR (n:{LABEL}) ON (n.tenant, n.name)",
)
"""Safe to run again; both engines keep it."""
