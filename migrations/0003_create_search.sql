-- What an artifact is called: set by its format, or read from its path. `doc` is its number in the full-text
-- index: the same on every node, in the order of creation, never given twice.
ALTER TABLE artifact ADD COLUMN name TEXT;
ALTER TABLE artifact ADD COLUMN version TEXT;
ALTER TABLE artifact ADD COLUMN doc INTEGER;
UPDATE artifact SET
    name = replace(path, rtrim(path, replace(path, '/', '')), ''),
    version = '',
    doc = n.doc
FROM (SELECT repo_id AS r, path AS p, row_number() OVER (ORDER BY repo_id, path) AS doc FROM artifact) n
WHERE repo_id = n.r AND path = n.p;
INSERT INTO counter (name, value) SELECT 'artifact_doc', coalesce(max(doc), 0) FROM artifact;
CREATE UNIQUE INDEX artifact_by_doc ON artifact (doc);

-- The full-text index is every node's own: names with local_ are outside of the session (meta.c), and
-- the triggers below fill it wherever a row of `artifact` changes. There are two, one that answers and one
-- that is being built (storage/meta/search.c). Contentless: the text stands in `artifact`.
--   starts_*  every word's first letters: 0xFFFC 0xFFFC in front of each, so that terms of one or two
--             characters are a trigram too
--   repo      repo_id as exactly three characters: one trigram, one list of documents
CREATE TABLE local_search_state (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    active INTEGER NOT NULL,                -- 0: local_search_a answers, 1: local_search_b
    phase TEXT NOT NULL,                    -- idle; clear, build, drop: see search_build.c
    cursor INTEGER NOT NULL,                -- while building: documents up to this are in the other one
    generation INTEGER NOT NULL,            -- of setting internal.search: the last that was begun here
    documents INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
);
INSERT INTO local_search_state
    SELECT 1, 0, CASE WHEN EXISTS (SELECT 1 FROM artifact) THEN 'build' ELSE 'idle' END, 0, 0,
           (SELECT count(*) FROM artifact), 0;
CREATE VIRTUAL TABLE local_search_a USING fts5 (name, version, path, starts_name, starts_version, repo,
    content = '', columnsize = 0, tokenize = 'trigram');
CREATE VIRTUAL TABLE local_search_b USING fts5 (name, version, path, starts_name, starts_version, repo,
    content = '', columnsize = 0, tokenize = 'trigram');

-- What the index holds of an artifact, in one place for filling, changing and building.
CREATE VIEW local_search_text AS SELECT doc, name, version, path,
    char(65532, 65532) || replace(replace(replace(replace(replace(name, '/', char(65532, 65532)),
        '-', char(65532, 65532)), '.', char(65532, 65532)), '_', char(65532, 65532)), ' ',
        char(65532, 65532)) AS starts_name,
    char(65532, 65532) || replace(replace(replace(replace(replace(version, '/', char(65532, 65532)),
        '-', char(65532, 65532)), '.', char(65532, 65532)), '_', char(65532, 65532)), ' ',
        char(65532, 65532)) AS starts_version,
    char(19968 + (repo_id >> 24 & 4095), 19968 + (repo_id >> 12 & 4095), 19968 + (repo_id & 4095)) AS repo
    FROM artifact;

CREATE TRIGGER local_search_a_insert AFTER INSERT ON artifact
WHEN (SELECT active = 0 OR phase = 'build' AND new.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_a (rowid, name, version, path, starts_name, starts_version, repo)
        SELECT * FROM local_search_text WHERE doc = new.doc;
END;
CREATE TRIGGER local_search_b_insert AFTER INSERT ON artifact
WHEN (SELECT active = 1 OR phase = 'build' AND new.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_b (rowid, name, version, path, starts_name, starts_version, repo)
        SELECT * FROM local_search_text WHERE doc = new.doc;
END;
CREATE TRIGGER local_search_a_delete BEFORE DELETE ON artifact
WHEN (SELECT active = 0 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_a (local_search_a, rowid, name, version, path, starts_name, starts_version, repo)
        SELECT 'delete', * FROM local_search_text WHERE doc = old.doc;
END;
CREATE TRIGGER local_search_b_delete BEFORE DELETE ON artifact
WHEN (SELECT active = 1 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_b (local_search_b, rowid, name, version, path, starts_name, starts_version, repo)
        SELECT 'delete', * FROM local_search_text WHERE doc = old.doc;
END;
CREATE TRIGGER local_search_a_before BEFORE UPDATE ON artifact
WHEN (old.name IS NOT new.name OR old.version IS NOT new.version) AND
     (SELECT active = 0 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_a (local_search_a, rowid, name, version, path, starts_name, starts_version, repo)
        SELECT 'delete', * FROM local_search_text WHERE doc = old.doc;
END;
CREATE TRIGGER local_search_b_before BEFORE UPDATE ON artifact
WHEN (old.name IS NOT new.name OR old.version IS NOT new.version) AND
     (SELECT active = 1 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_b (local_search_b, rowid, name, version, path, starts_name, starts_version, repo)
        SELECT 'delete', * FROM local_search_text WHERE doc = old.doc;
END;
CREATE TRIGGER local_search_a_after AFTER UPDATE ON artifact
WHEN (old.name IS NOT new.name OR old.version IS NOT new.version) AND
     (SELECT active = 0 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_a (rowid, name, version, path, starts_name, starts_version, repo)
        SELECT * FROM local_search_text WHERE doc = new.doc;
END;
CREATE TRIGGER local_search_b_after AFTER UPDATE ON artifact
WHEN (old.name IS NOT new.name OR old.version IS NOT new.version) AND
     (SELECT active = 1 OR phase = 'build' AND old.doc <= cursor FROM local_search_state) BEGIN
    INSERT INTO local_search_b (rowid, name, version, path, starts_name, starts_version, repo)
        SELECT * FROM local_search_text WHERE doc = new.doc;
END;
CREATE TRIGGER local_search_count_insert AFTER INSERT ON artifact BEGIN
    UPDATE local_search_state SET documents = documents + 1, last_ms = max(last_ms, new.modified_ms);
END;
CREATE TRIGGER local_search_count_delete AFTER DELETE ON artifact BEGIN
    UPDATE local_search_state SET documents = documents - 1;
END;
