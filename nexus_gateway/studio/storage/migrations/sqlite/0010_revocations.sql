-- Tokens that are worth nothing until `expires`, seconds since 1970 as in tokens: one by its `jti`, or
-- those of a subject (`sub`) that were issued before `before`. `realm` tells whose they are: of one
-- `tenant`, of `none`, or of `all`. What is written later has a greater `seq`.

-- up
CREATE TABLE revocation (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    realm TEXT NOT NULL,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    before INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT;

CREATE INDEX revocation_by_name ON revocation (realm, tenant, kind, name);
CREATE INDEX revocation_by_end ON revocation (expires);

-- down
DROP TABLE revocation;
