-- Queries of the graph whose answers are told whenever they change, until `expires_at`; the question
-- is JSON, times are microseconds since 1970.

-- up
CREATE TABLE live_query (
    tenant TEXT COLLATE "C" NOT NULL,
    query_id TEXT COLLATE "C" NOT NULL,
    question TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, query_id)
);

-- down
DROP TABLE live_query;
