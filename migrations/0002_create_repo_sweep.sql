-- Deleted repositories whose artifacts wait to be swept, in bounded steps.
CREATE TABLE repo_sweep (
    repo_id INTEGER NOT NULL PRIMARY KEY,
    deleted_ms INTEGER NOT NULL
);

-- Numbers that are never given twice. "repository": an upload that began before its repository was deleted
-- must not end in a later one.
CREATE TABLE counter (
    name TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- A deleted alias stays, hidden, until nothing lives in its store: its objects are still to be read and
-- collected. storage_alias.repo is '' or the repository's id in decimal: it outlives moves and names.
ALTER TABLE storage_alias ADD COLUMN deleted_ms INTEGER;
CREATE INDEX garbage_by_store ON garbage (store);
CREATE INDEX upload_by_store ON upload (store);
