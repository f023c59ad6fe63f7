"""What both engines are told at start: who is who, and by what nodes are found."""

from __future__ import annotations

from nexus_gateway.studio.storage.graph import LABEL

SCHEMA = (
    f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{LABEL}) REQUIRE (n.tenant, n.entity_id) IS UNIQUE",
    f"CREATE INDEX IF NOT EXISTS FOR (n:{LABEL}) ON (n.tenant, n.entity_type)",
    f"CREATE INDEX IF NOT EXISTS FOR (n:{LABEL}) ON (n.tenant, n.name)",
    # What the knowledge graph keeps beside its nodes: what they were, and what they were called.
    "CREATE CONSTRAINT IF NOT EXISTS FOR (v:Version) REQUIRE v.version IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (x:Alias) REQUIRE (x.owner, x.entity_id) IS UNIQUE",
    "CREATE INDEX IF NOT EXISTS FOR (v:Version) ON (v.subject)",
    "CREATE INDEX IF NOT EXISTS FOR (v:Version) ON (v.source)",
    "CREATE INDEX IF NOT EXISTS FOR (v:Version) ON (v.target)",
    "CREATE INDEX IF NOT EXISTS FOR (x:Alias) ON (x.target)",
)
"""Safe to run again; both engines keep it."""
