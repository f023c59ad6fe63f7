-- Search stores terms that the gateway's own analyser made. What was indexed before stays until it is
-- replaced in the background, so that it is found by most of its words; `search_index` says up to
-- which entity the index holds the terms of the analyser's present version.

-- up
CREATE TABLE search_index (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    version INTEGER NOT NULL,
    done BIGINT NOT NULL,
    target BIGINT NOT NULL
);

INSERT INTO search_index SELECT 1, 0, 0, coalesce(max(number), 0) FROM entity;

-- down
DROP TABLE search_index;
