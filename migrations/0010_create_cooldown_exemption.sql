-- What cooldown does not hold back, by patterns of names.
CREATE TABLE cooldown_exemption (
    id INTEGER NOT NULL PRIMARY KEY,
    repo_id INTEGER NOT NULL,               -- 0: of every proxy
    package TEXT NOT NULL,                  -- with * and ?
    version TEXT NOT NULL,                  -- the same
    reason TEXT NOT NULL,
    until_ms INTEGER NOT NULL,              -- 0: until it is taken back
    created_ms INTEGER NOT NULL,
    created_by TEXT
);
CREATE INDEX cooldown_exemption_by_repo ON cooldown_exemption (repo_id);

-- Since when versions are known whose release date upstream does not say.
CREATE TABLE cooldown_seen (
    repo_id INTEGER NOT NULL,
    key TEXT NOT NULL,                      -- as in cooldown_block
    version TEXT NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (repo_id, key, version)
) WITHOUT ROWID;
