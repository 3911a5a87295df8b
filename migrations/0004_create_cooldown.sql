-- Cooldown: what is blocked now, and what somebody decided by hand, which stands for good. `key` is the
-- package's name in the one spelling that is compared (maven: group.artifact).
CREATE TABLE cooldown_block (
    repo_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    package TEXT NOT NULL,                  -- as the client spelled it
    reason TEXT NOT NULL,                   -- TOO_YOUNG, or a block list's word
    released_ms INTEGER NOT NULL,           -- 0: not known
    blocked_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (repo_id, key, version)
) WITHOUT ROWID;
CREATE INDEX cooldown_block_by_date ON cooldown_block (blocked_ms);
CREATE INDEX cooldown_block_by_until ON cooldown_block (until_ms);
CREATE INDEX cooldown_block_by_package ON cooldown_block (package, version);
CREATE INDEX cooldown_block_by_version ON cooldown_block (version);
CREATE INDEX cooldown_block_by_repo ON cooldown_block (repo_id, until_ms);

CREATE TABLE cooldown_decision (
    repo_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    version TEXT NOT NULL,
    decision TEXT NOT NULL,                 -- allow
    decided_ms INTEGER NOT NULL,
    decided_by TEXT,
    PRIMARY KEY (repo_id, key, version)
) WITHOUT ROWID;

-- What a repository holds, kept by the operations that change it.
CREATE TABLE repository_stats (
    repo_id INTEGER NOT NULL PRIMARY KEY,
    artifact_count INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
INSERT INTO repository_stats (repo_id, artifact_count, bytes)
    SELECT repo_id, count(*), sum(size) FROM artifact GROUP BY repo_id;

-- Requests by minute and by start of a node: absolute figures, so that sending them twice does no harm.
CREATE TABLE request_minute (
    minute INTEGER NOT NULL,                -- since 1970
    node INTEGER NOT NULL,
    start TEXT NOT NULL,                    -- which start of the node
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,                -- of them answered with 5xx
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    PRIMARY KEY (minute, node, start)
) WITHOUT ROWID;
