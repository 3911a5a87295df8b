-- What proxies know of what they hold: where it came from, when upstream was last asked, when it was
-- released. Bytes are artifacts of the same path; a row without one says only what was known of it.
CREATE TABLE upstream (
    repo_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    remote TEXT NOT NULL,                   -- which of the repository's remotes answered
    url TEXT,                               -- that gave the bytes, after redirects
    etag TEXT,                              -- of upstream, as it was sent
    last_modified TEXT,                     -- the same
    released_ms INTEGER NOT NULL,           -- 0: not known
    checked_ms INTEGER NOT NULL,
    PRIMARY KEY (repo_id, path)
) WITHOUT ROWID;

-- Who fetches what at the moment, so that no two nodes fetch the same.
CREATE TABLE fetch_claim (
    repo_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    node INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    token TEXT NOT NULL,                    -- of the one fetch
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (repo_id, path)
) WITHOUT ROWID;

-- Changes when what a repository remembers of upstream's "no" is to be forgotten.
CREATE TABLE upstream_purge (
    repo_id INTEGER NOT NULL PRIMARY KEY,
    serial INTEGER NOT NULL
);
