-- Entities, their tags, and the words that search finds them by, always written in one transaction.
-- `number` says in which order entities were made and is never used twice: cursors stand on it.
-- Times are microseconds since 1970, `tags` and `attributes` are JSON.

-- up
CREATE TABLE entity (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    name TEXT,
    tags TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    UNIQUE (tenant, entity_id)
) STRICT;

-- Each ends with the number by itself, as every index of a table with one does.
CREATE INDEX entity_by_tenant ON entity (tenant);
CREATE INDEX entity_by_type ON entity (tenant, entity_type);
CREATE INDEX entity_by_age ON entity (tenant, created_at);

CREATE TABLE entity_tag (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES entity (number),
    PRIMARY KEY (tenant, tag, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX entity_tag_by_entity ON entity_tag (number);

-- How many entities have a tag: recommendations weigh each tag by it, the report lists the largest.
CREATE TABLE tag_total (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (tenant, tag)
) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE entity_text USING fts5 (
    entity_id, name, tags, body,
    tokenize = 'unicode61 remove_diacritics 2'
);

-- down
DROP TABLE entity_text;
DROP TABLE tag_total;
DROP TABLE entity_tag;
DROP TABLE entity;
