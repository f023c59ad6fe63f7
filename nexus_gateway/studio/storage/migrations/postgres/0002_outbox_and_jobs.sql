-- What was changed and not yet told to everyone (`outbox.py`), how far each listener is, and jobs
-- (`jobs.py`). Both are written once for both engines. Times are microseconds since 1970.
-- Whoever writes to `outbox` holds a lock until its commit: see `outbox_postgres.py`.

-- up
CREATE TABLE outbox (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic TEXT NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    row_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL
);

-- Before the statement, so before its positions are taken: transactions commit in another order, and
-- the relay waits for those that are still under way before it passes their positions.
CREATE FUNCTION outbox_announced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(121382091715330);
    RETURN NULL;
END
$$;

CREATE TRIGGER outbox_announced BEFORE INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_announced();

CREATE TABLE outbox_sink (
    name TEXT PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE TABLE job (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    job_key TEXT,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    attempts_allowed BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    progress TEXT,
    result TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX job_once ON job (tenant, kind, job_key)
    WHERE job_key IS NOT NULL AND state IN ('queued', 'running');
CREATE INDEX job_due ON job (due_at) WHERE state IN ('queued', 'running');
CREATE INDEX job_by_tenant ON job (tenant, number);

-- down
DROP TABLE job;
DROP TABLE outbox_sink;
DROP TABLE outbox;
DROP FUNCTION outbox_announced;
