-- What search keeps of each entity beside its words: a vector, and when search last heard of it.
-- `vector` is null until it is made, and empty once the entity is gone; its length is the dimension,
-- a byte each, and `model` made it. `version` grows with each transaction of a tenant: who has all up
-- to one asks for what is later. A row outlives its entity, so that others hear of the deletion.

-- `entity_tag` loses its index by number, a third of what an import wrote, and with it the reference
-- to `entity`, which would scan for it: who deletes an entity knows its tags. Words are merged less
-- often, so that a row of a long import costs little more than one of a short one.

-- up
CREATE TABLE entity_vector (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    version INTEGER NOT NULL,
    model TEXT,
    vector BLOB
) STRICT;

CREATE INDEX entity_vector_by_version ON entity_vector (tenant, version);
CREATE INDEX entity_vector_pending ON entity_vector (number) WHERE vector IS NULL;

INSERT INTO entity_vector (number, tenant, version) SELECT number, tenant, 1 FROM entity;

CREATE TABLE entity_tag_alone (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (tenant, tag, number)
) STRICT, WITHOUT ROWID;

INSERT INTO entity_tag_alone SELECT tenant, tag, number FROM entity_tag;
DROP TABLE entity_tag;
ALTER TABLE entity_tag_alone RENAME TO entity_tag;

INSERT INTO entity_text (entity_text, rank) VALUES ('automerge', 8);

-- down
INSERT INTO entity_text (entity_text, rank) VALUES ('automerge', 4);
DROP TABLE entity_vector;

CREATE TABLE entity_tag_referring (
    tenant TEXT NOT NULL,
    tag TEXT NOT NULL,
    number INTEGER NOT NULL REFERENCES entity (number),
    PRIMARY KEY (tenant, tag, number)
) STRICT, WITHOUT ROWID;

INSERT INTO entity_tag_referring SELECT tenant, tag, number FROM entity_tag;
DROP TABLE entity_tag;
ALTER TABLE entity_tag_referring RENAME TO entity_tag;
CREATE INDEX entity_tag_by_entity ON entity_tag (number);
