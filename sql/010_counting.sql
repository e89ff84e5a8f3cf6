-- What tells lines of access logs apart, wherever they come again: parts of a log that were cut out of it, put together
-- with others or written in another format are counted once.

-- Fingerprints of lines that were counted: four bytes each, little-endian, of what the line says but the address.
CREATE TABLE access_lines (
    minute integer NOT NULL,          -- since 1970, in which the line was logged
    marks  bytea NOT NULL,
    fresh  boolean NOT NULL DEFAULT true  -- written by a commit, and not put together yet
);

-- Hashes do not compress.
ALTER TABLE access_lines ALTER COLUMN marks SET STORAGE EXTERNAL;

-- Days of which fingerprints were deleted since they are too old: lines of them cannot be compared.
CREATE TABLE access_days_pruned (
    day date PRIMARY KEY
);

CREATE INDEX access_lines_minute ON access_lines (minute);
CREATE INDEX access_lines_fresh ON access_lines (minute) WHERE fresh;

-- Put the rows of each minute before this one together: each commit adds rows of its own.
CREATE FUNCTION compact_access_lines(before integer) RETURNS void LANGUAGE sql AS $$
    WITH over AS (
        SELECT DISTINCT minute FROM access_lines WHERE fresh AND minute < before
    ), taken AS (
        DELETE FROM access_lines l USING over o WHERE l.minute = o.minute
     RETURNING l.minute, l.marks
    )
    INSERT INTO access_lines (minute, marks, fresh)
    SELECT minute, string_agg(marks, ''::bytea), false FROM taken GROUP BY minute
$$;

-- Delete the fingerprints of the days before this one, and note which days they were of.
CREATE FUNCTION prune_access_lines(before date) RETURNS void LANGUAGE sql AS $$
    WITH deleted AS (
        DELETE FROM access_lines WHERE minute < (before - date '1970-01-01') * 1440
     RETURNING minute
    )
    INSERT INTO access_days_pruned (day)
    SELECT DISTINCT date '1970-01-01' + minute / 1440 FROM deleted
        ON CONFLICT DO NOTHING
$$;
