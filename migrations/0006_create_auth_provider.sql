-- Who vouches for users: `local` is the first row of every cluster and stays.
CREATE TABLE auth_provider (
    id INTEGER NOT NULL PRIMARY KEY,
    type TEXT NOT NULL UNIQUE,              -- local, okta, keycloak, oidc
    priority INTEGER NOT NULL,
    config TEXT NOT NULL,                   -- JSON, secrets sealed
    enabled INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);
INSERT INTO auth_provider VALUES (1, 'local', 0, '{}', 1, 0, 0);

CREATE TABLE sso_state (                    -- sign-ins that went to a provider and have not come back
    state TEXT NOT NULL PRIMARY KEY,        -- SHA-256 of what the browser carries
    provider INTEGER NOT NULL,
    callback TEXT NOT NULL,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,                 -- of PKCE (RFC 7636), sealed
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sso_state_by_expiry ON sso_state (expires_ms);

CREATE TABLE user_link (                    -- the identities that sign in as a user
    issuer TEXT NOT NULL,                   -- OIDC Core section 2: iss and sub together never change hands
    subject TEXT NOT NULL,
    user TEXT NOT NULL,
    provider TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) WITHOUT ROWID;
CREATE INDEX user_link_by_user ON user_link (user, provider);

CREATE TABLE user_mfa (
    user TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL,                   -- of RFC 6238, sealed
    confirmed INTEGER NOT NULL,
    last_step INTEGER NOT NULL,             -- the newest step that was used: it and older ones are refused
    created_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE user_mfa_code (                -- backup codes that are left
    user TEXT NOT NULL,
    hash TEXT NOT NULL,                     -- SHA-256 of 80 random bits
    PRIMARY KEY (user, hash)
) WITHOUT ROWID;
