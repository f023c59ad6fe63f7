-- What was changed and not yet told to everyone (`outbox.py`), how far each listener is, and jobs
-- (`jobs.py`). Both are written once for both engines. Times are microseconds since 1970.

-- up
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    row_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox_sink (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    job_key TEXT,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempts_allowed INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    progress TEXT,
    result TEXT,
    error TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX job_once ON job (tenant, kind, job_key)
    WHERE job_key IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX job_due ON job (due_at) WHERE state IN ('queued', 'running');
CREATE INDEX job_by_tenant ON job (tenant, number);

-- down
DROP TABLE job;
DROP TABLE outbox_sink;
DROP TABLE outbox;
