-- Queries of the graph whose answers are told whenever they change, until `expires_at`; the question
-- is JSON, times are microseconds since 1970.

-- up
CREATE TABLE live_query (
    tenant TEXT NOT NULL,
    query_id TEXT NOT NULL,
    question TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, query_id)
) STRICT, WITHOUT ROWID;

-- down
DROP TABLE live_query;
