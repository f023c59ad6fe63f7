-- Tokens that are worth nothing until `expires`, seconds since 1970 as in tokens: one by its `jti`, or
-- those of a subject (`sub`) that were issued before `before`. `realm` tells whose they are: of one
-- `tenant`, of `none`, or of `all`. What is written later has a greater `seq`.

-- up
CREATE TABLE revocation (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm TEXT NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    before BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

CREATE INDEX revocation_by_name ON revocation (realm, tenant, kind, name);
CREATE INDEX revocation_by_end ON revocation (expires);

-- down
DROP TABLE revocation;
