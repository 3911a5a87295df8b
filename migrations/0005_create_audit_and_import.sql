-- Who did what: one row a change, chained. hash is SHA-256 over the row and the hash of the row before
-- (storage/meta/audit.c says how); seq has no gaps and time_ms never goes back, so that a time finds its
-- seq by bisection and needs no index of its own.
CREATE TABLE audit (
    seq INTEGER NOT NULL PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource TEXT NOT NULL,
    old_value TEXT,                         -- JSON without secrets; NULL: there was none
    new_value TEXT,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX audit_by_actor ON audit (actor, seq);
CREATE INDEX audit_by_action ON audit (action, seq);
CREATE INDEX audit_by_resource ON audit (resource, seq);

-- Where the chain begins once old rows have been swept: the last of them. One row, or none.
CREATE TABLE audit_anchor (
    id INTEGER NOT NULL PRIMARY KEY,
    seq INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    hash BLOB NOT NULL
);

-- Imports that are done, by idempotency key: what a replay of the same key is answered from.
CREATE TABLE import_session (
    key TEXT NOT NULL PRIMARY KEY,
    repo_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB, sha1 BLOB, md5 BLOB,       -- of the bytes, or as told (see told)
    told INTEGER NOT NULL,                  -- sha1 and md5 are the client's word
    metadata_only INTEGER NOT NULL,
    repo_type TEXT NOT NULL,
    name TEXT, version TEXT, owner TEXT,
    artifact_created_ms INTEGER, artifact_release_ms INTEGER,
    imported_by TEXT,
    done_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX import_session_by_done ON import_session (done_ms);
CREATE INDEX import_session_by_place ON import_session (repo_id, path);
