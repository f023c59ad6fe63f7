-- Search stores terms that the gateway's own analyser made, so FTS5 only separates them at spaces:
-- everything that may be part of a term is a token character. What was indexed before is copied, so
-- that it is found at once by most of its words; `search_index` says up to which entity the index
-- holds the terms of the analyser's present version.

-- up
CREATE VIRTUAL TABLE entity_terms USING fts5 (
    keys, names, tags, body,
    tokenize = "ascii tokenchars '+#.='", columnsize = 0
);

INSERT INTO entity_terms (entity_terms, rank) VALUES ('automerge', 8);
INSERT INTO entity_terms (rowid, keys, names, tags, body)
SELECT rowid, '', entity_id || ' = ' || coalesce(name, ''), tags, body FROM entity_text;
DROP TABLE entity_text;

CREATE TABLE search_index (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    version INTEGER NOT NULL,
    done INTEGER NOT NULL,
    target INTEGER NOT NULL
) STRICT;

INSERT INTO search_index SELECT 1, 0, 0, coalesce(max(number), 0) FROM entity;

-- down
DROP TABLE search_index;
CREATE VIRTUAL TABLE entity_text USING fts5 (
    entity_id, name, tags, body,
    tokenize = 'unicode61 remove_diacritics 2'
);

INSERT INTO entity_text (entity_text, rank) VALUES ('automerge', 8);
INSERT INTO entity_text (rowid, entity_id, name, tags, body)
SELECT entity.number, entity.entity_id, entity.name, entity_terms.tags, entity_terms.body
FROM entity_terms JOIN entity ON entity.number = entity_terms.rowid;
DROP TABLE entity_terms;
