-- What search keeps of each entity beside its words: a vector, and when search last heard of it.
-- `vector` is null until it is made, and empty once the entity is gone; its length is the dimension,
-- a byte each, and `model` made it. `version` grows with each transaction of a tenant: who has all up
-- to one asks for what is later. A row outlives its entity, so that others hear of the deletion.

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

-- down
DROP TABLE entity_vector;
