-- Uploads that take several requests, each of which may come to another node. A chunk's object is named
-- here and not in `upload`, so that no restart of the node that took it collects it.
CREATE TABLE upload_session (
    id TEXT NOT NULL PRIMARY KEY,           -- random: who knows it and may write goes on with it
    repo_id INTEGER NOT NULL,
    scope TEXT NOT NULL,                    -- what within the repository it is for: the format's word
    owner TEXT,
    size INTEGER NOT NULL,                  -- of all chunks
    chunks INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    touched_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX upload_session_by_touched ON upload_session (touched_ms);
CREATE INDEX upload_session_by_repo ON upload_session (repo_id);

CREATE TABLE upload_chunk (
    session TEXT NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL,
    key TEXT NOT NULL,
    store TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (session, start, key)       -- an empty chunk starts where the next one does
) WITHOUT ROWID;
CREATE INDEX upload_chunk_by_store ON upload_chunk (store);
