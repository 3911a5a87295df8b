-- Every replicated table has a PRIMARY KEY: changesets find rows by it. No foreign keys, no triggers into
-- replicated tables: operations keep the references, on the leader, in one place.
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,                    -- JSON
    updated_ms INTEGER NOT NULL,
    updated_by TEXT
) WITHOUT ROWID;

CREATE TABLE user (
    name TEXT NOT NULL PRIMARY KEY,
    password TEXT,                          -- argon2id, encoded; NULL: no local password
    email TEXT,
    enabled INTEGER NOT NULL DEFAULT 1,
    provider TEXT NOT NULL DEFAULT 'local',
    must_change INTEGER NOT NULL DEFAULT 0,
    epoch_ms INTEGER NOT NULL DEFAULT 0,    -- tokens issued before it are revoked
    version INTEGER NOT NULL DEFAULT 1,     -- of the password: part of the key of verified passwords
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE role (
    name TEXT NOT NULL PRIMARY KEY,
    permissions TEXT NOT NULL,              -- canonical JSON
    enabled INTEGER NOT NULL DEFAULT 1,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE user_role (
    user TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (user, role)
) WITHOUT ROWID;
CREATE INDEX user_role_by_role ON user_role (role, user);

CREATE TABLE token (                        -- refresh and API tokens, and revoked access tokens
    user TEXT NOT NULL,
    id TEXT NOT NULL,                       -- jti
    type TEXT NOT NULL,                     -- api, refresh, access
    label TEXT,
    family TEXT,                            -- of a refresh chain: reuse of a spent one revokes it all
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,                     -- NULL: permanent
    revoked_ms INTEGER,
    PRIMARY KEY (user, id)
) WITHOUT ROWID;
CREATE INDEX token_by_expiry ON token (expires_ms) WHERE expires_ms IS NOT NULL;
CREATE INDEX token_by_family ON token (user, family) WHERE family IS NOT NULL;

CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    private TEXT NOT NULL,                  -- PEM, sealed with the cluster key
    public TEXT NOT NULL,                   -- PEM
    active INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE storage_alias (
    repo TEXT NOT NULL,                     -- '': global
    name TEXT NOT NULL,
    config TEXT NOT NULL,                   -- JSON, secrets sealed
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (repo, name)
) WITHOUT ROWID;

CREATE TABLE repository (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    storage TEXT,                           -- alias; NULL for groups
    config TEXT NOT NULL,                   -- JSON {"repo":{...}}, secrets sealed
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    created_by TEXT,
    updated_by TEXT
);
CREATE INDEX repository_by_storage ON repository (storage);
CREATE INDEX repository_by_type ON repository (type, name);

CREATE TABLE blob (
    id INTEGER NOT NULL PRIMARY KEY,
    store TEXT NOT NULL,                    -- "alias" or "repo/alias": where key lives
    sha256 BLOB NOT NULL,
    key TEXT NOT NULL,
    size INTEGER NOT NULL,
    refs INTEGER NOT NULL,                  -- rows that name it; 0 never stays: it becomes garbage
    sha1 BLOB, md5 BLOB, sha512 BLOB,
    created_ms INTEGER NOT NULL,
    UNIQUE (store, sha256)
);

CREATE TABLE artifact (                     -- a path of a repository and the bytes that it names now
    repo_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    blob_id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    content_type TEXT,
    created_ms INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    owner TEXT,
    PRIMARY KEY (repo_id, path)
) WITHOUT ROWID;
CREATE INDEX artifact_by_blob ON artifact (blob_id);

CREATE TABLE node (                         -- who runs, and which start of it (uploads belong to a start)
    id INTEGER NOT NULL PRIMARY KEY,
    incarnation TEXT NOT NULL,
    version TEXT NOT NULL,
    started_ms INTEGER NOT NULL
);

CREATE TABLE upload (                       -- keys that may hold bytes that no blob names yet
    key TEXT NOT NULL PRIMARY KEY,
    store TEXT NOT NULL,
    node INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX upload_by_node ON upload (node, incarnation);

CREATE TABLE garbage (                      -- objects to delete after the grace
    key TEXT NOT NULL PRIMARY KEY,
    store TEXT NOT NULL,
    since_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX garbage_by_since ON garbage (since_ms);
