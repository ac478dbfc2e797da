-- What stays of events that were dropped, at their places: `seq` is theirs and in no row of `events` any more.
CREATE TABLE dropped (
    seq      INTEGER NOT NULL PRIMARY KEY,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    at       INTEGER NOT NULL,
    stream   BLOB CHECK (length(stream) = 16),
    position INTEGER,
    by       BLOB NOT NULL CHECK (length(by) = 32),
    mac      BLOB NOT NULL CHECK (length(mac) = 32)
);
