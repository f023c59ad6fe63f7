-- Records that a sink of the outbox refused, until they are replayed, and which replica's embedded
-- graph belongs to this database. Times are microseconds since 1970.

-- up
CREATE TABLE outbox_refused (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    position INTEGER NOT NULL,
    topic TEXT NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    row_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    replay INTEGER NOT NULL,
    UNIQUE (sink, position, tenant, row_key)
) STRICT;
CREATE INDEX outbox_refused_replay ON outbox_refused (sink, number) WHERE replay = 1;

CREATE TABLE graph_owner (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    holder TEXT NOT NULL,
    described TEXT NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- down
DROP TABLE graph_owner;
DROP TABLE outbox_refused;
