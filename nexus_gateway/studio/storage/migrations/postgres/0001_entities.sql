-- Entities, their tags, and the words that search finds them by, always written in one transaction.
-- `number` says in which order entities were made and is never used twice: cursors stand on it.
-- Times are microseconds since 1970. `tags` and `attributes` are JSON and kept as text: `jsonb`
-- would order keys anew, round numbers and refuse some texts, which SQLite does not.
-- Names are compared by their bytes (COLLATE "C"), as SQLite does, whatever the database's language.

-- up
CREATE TABLE entity (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    entity_id TEXT COLLATE "C" NOT NULL,
    entity_type TEXT COLLATE "C" NOT NULL,
    name TEXT,
    tags TEXT NOT NULL,
    attributes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    words TSVECTOR NOT NULL,
    UNIQUE (tenant, entity_id)
);

CREATE INDEX entity_by_tenant ON entity (tenant, number);
CREATE INDEX entity_by_type ON entity (tenant, entity_type, number);
CREATE INDEX entity_by_age ON entity (tenant, created_at);
CREATE INDEX entity_by_words ON entity USING gin (words);

CREATE TABLE entity_tag (
    tenant TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL REFERENCES entity (number),
    PRIMARY KEY (tenant, tag, number)
);

CREATE INDEX entity_tag_by_entity ON entity_tag (number);

-- How many entities have a tag: recommendations weigh each tag by it, the report lists the largest.
CREATE TABLE tag_total (
    tenant TEXT COLLATE "C" NOT NULL,
    tag TEXT COLLATE "C" NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (tenant, tag)
);

-- down
DROP TABLE tag_total;
DROP TABLE entity_tag;
DROP TABLE entity;
