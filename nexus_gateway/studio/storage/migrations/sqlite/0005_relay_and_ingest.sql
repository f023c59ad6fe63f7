-- Who carries changes to a sink, and until when (`outbox.py`); what was given to the knowledge
-- graph and is not yet in it, in parts of whole lines, and the lines that it refused
-- (`knowledge_graph/ingest`). Times are microseconds since 1970.

-- up
ALTER TABLE outbox_sink ADD COLUMN holder TEXT;
ALTER TABLE outbox_sink ADD COLUMN lease_until INTEGER NOT NULL DEFAULT 0;

-- Its job has the same id. `ingest_key` is the caller's name for it, `digest` is of its content.
CREATE TABLE graph_ingest (
    id TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    ingest_key TEXT,
    digest TEXT NOT NULL,
    lines INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX graph_ingest_once ON graph_ingest (tenant, ingest_key)
    WHERE ingest_key IS NOT NULL;
CREATE INDEX graph_ingest_by_age ON graph_ingest (created_at);

-- `size` stands before the content, which is compressed: the sum of sizes reads no content.
CREATE TABLE graph_ingest_part (
    ingest_id TEXT NOT NULL REFERENCES graph_ingest (id) ON DELETE CASCADE,
    part INTEGER NOT NULL,
    first_line INTEGER NOT NULL,
    size INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (ingest_id, part)
) STRICT;

CREATE TABLE graph_ingest_refusal (
    ingest_id TEXT NOT NULL REFERENCES graph_ingest (id) ON DELETE CASCADE,
    line INTEGER NOT NULL,
    reason TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (ingest_id, line)
) STRICT;

-- down
DROP TABLE graph_ingest_refusal;
DROP TABLE graph_ingest_part;
DROP TABLE graph_ingest;
ALTER TABLE outbox_sink DROP COLUMN lease_until;
ALTER TABLE outbox_sink DROP COLUMN holder;
