-- Records that a sink of the outbox refused, until they are replayed, and which replica's embedded
-- graph belongs to this database. Times are microseconds since 1970.

-- up
CREATE TABLE outbox_refused (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sink TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    row_key TEXT COLLATE "C" NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    replay BIGINT NOT NULL,
    UNIQUE (sink, position, tenant, row_key)
);
CREATE INDEX outbox_refused_replay ON outbox_refused (sink, number) WHERE replay = 1;

CREATE TABLE graph_owner (
    name TEXT COLLATE "C" PRIMARY KEY,
    folder TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    described TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- down
DROP TABLE graph_owner;
DROP TABLE outbox_refused;
