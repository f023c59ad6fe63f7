-- What is kept sealed (`vault.py`): the text holds a nonce, the ciphertext and its tag, as base64;
-- `key_id` tells under which key. Times are microseconds since 1970.

-- up
CREATE TABLE secret (
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE INDEX secret_by_key ON secret (key_id);

-- down
DROP TABLE secret;
