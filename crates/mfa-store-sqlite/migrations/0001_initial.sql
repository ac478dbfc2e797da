-- Facts about the file itself.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

-- Text compares by its bytes everywhere: BINARY is the default collation and is never changed.
-- The kind comes first, so that one key serves `get`, `list` and `scan`.
CREATE TABLE records (
    kind       TEXT NOT NULL,
    scope      TEXT NOT NULL,
    id         BLOB NOT NULL,
    expires_at INTEGER,
    version    BLOB NOT NULL CHECK (length(version) = 16),
    body       BLOB NOT NULL,
    PRIMARY KEY (kind, scope, id)
) WITHOUT ROWID;

CREATE INDEX records_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

-- Times are milliseconds since 1970. `seq` counts every event of the file from 1, without a gap.
-- `user`, `ip` and `personal` become NULL together when the user is erased.
CREATE TABLE events (
    scope     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    id        BLOB NOT NULL CHECK (length(id) = 20),
    seq       INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    attempt   INTEGER NOT NULL,
    auth_type TEXT,
    module    TEXT,
    user      TEXT,
    ip        BLOB,
    hash      BLOB NOT NULL CHECK (length(hash) = 32),
    core      BLOB NOT NULL,
    personal  BLOB,
    PRIMARY KEY (scope, at, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX events_seq ON events (seq);
CREATE UNIQUE INDEX events_id ON events (scope, id);
CREATE INDEX events_user ON events (scope, user, at, id) WHERE user IS NOT NULL;
CREATE INDEX events_ip ON events (scope, ip, at, id) WHERE ip IS NOT NULL;
CREATE INDEX events_attempts ON events (scope, at, id) WHERE attempt = 1;
