-- What entities are called besides, who made and changed them, what they were before, and what the
-- attributes of a type must be. A state goes to `entity_history` when another takes its place; a
-- deleted entity is there alone, its last row marked.

-- up
ALTER TABLE entity ADD COLUMN aliases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE entity ADD COLUMN source TEXT;
ALTER TABLE entity ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE entity ADD COLUMN updated_by TEXT NOT NULL DEFAULT '';

CREATE TABLE entity_alias (
    tenant TEXT NOT NULL,
    alias TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES entity (number),
    PRIMARY KEY (tenant, alias)
) STRICT, WITHOUT ROWID;

CREATE INDEX entity_alias_by_entity ON entity_alias (number);

CREATE TABLE entity_history (
    number INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    name TEXT,
    tags TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    aliases TEXT NOT NULL,
    source TEXT,
    created_by TEXT NOT NULL,
    updated_by TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (number, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX entity_history_by_id ON entity_history (tenant, entity_id, number, revision);

-- `digest` names the schema's text: what was compiled of it is kept by that name.
CREATE TABLE entity_type (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    attributes TEXT NOT NULL,
    digest TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- down
DROP TABLE entity_type;
DROP TABLE entity_history;
DROP TABLE entity_alias;
ALTER TABLE entity DROP COLUMN updated_by;
ALTER TABLE entity DROP COLUMN created_by;
ALTER TABLE entity DROP COLUMN source;
ALTER TABLE entity DROP COLUMN aliases;
