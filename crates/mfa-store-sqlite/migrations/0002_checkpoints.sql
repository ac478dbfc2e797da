-- What fixes the log. A checkpoint covers the `count` events up to `seq = total`.
CREATE TABLE checkpoints (
    number   INTEGER NOT NULL PRIMARY KEY,
    log      BLOB NOT NULL CHECK (length(log) = 16),
    at       INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    total    INTEGER NOT NULL,
    root     BLOB NOT NULL CHECK (length(root) = 32),
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    mac      BLOB NOT NULL CHECK (length(mac) = 32)
);

-- The id of the log, which tells its checkpoints from those of another. A copy of the file keeps it.
INSERT INTO meta (name, value) VALUES ('log', randomblob(16));
