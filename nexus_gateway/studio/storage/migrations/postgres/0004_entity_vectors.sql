-- What search keeps of each entity beside its words: a vector, and when search last heard of it.
-- `vector` is null until it is made, and empty once the entity is gone; its length is the dimension,
-- a byte each, and `model` made it. `version` is the transaction that wrote the row: who has all that
-- was committed before one asks for what is not older. A row outlives its entity, so that others hear
-- of the deletion.

-- up
CREATE TABLE entity_vector (
    number BIGINT PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    model TEXT,
    vector BYTEA
);

CREATE INDEX entity_vector_by_version ON entity_vector (tenant, version, number);
CREATE INDEX entity_vector_pending ON entity_vector (number) WHERE vector IS NULL;

INSERT INTO entity_vector (number, tenant) SELECT number, tenant FROM entity;

-- down
DROP TABLE entity_vector;
