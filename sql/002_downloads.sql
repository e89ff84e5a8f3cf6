-- What web servers' access logs told: raw rows for a while, roll-ups for ever, and how far each
-- log was read, so that nothing counts twice.
--
-- Wheels and agents go by the first eight bytes of a hash of what they are, so that a reader
-- needs no answer from here before it writes. Days and months are those of UTC.

-- One row a request, in a partition a month, dropped when [accesslog] retention_months is over.
CREATE TABLE accesses (
    at     timestamptz NOT NULL,
    client bigint,                    -- a keyed hash of the address; NULL: its day's key is gone
    agent  bigint NOT NULL,
    wheel  bigint,                    -- of a download
    bytes  bigint NOT NULL,
    kind   smallint NOT NULL,         -- the numbers of accesslog.parse.Kind
    status smallint NOT NULL
) PARTITION BY RANGE (at);

-- Wheels that were downloaded, also those that are no longer files.
CREATE TABLE wheels (
    wheel    bigint PRIMARY KEY,
    filename text NOT NULL,
    project  text NOT NULL,
    saved_s  double precision         -- build time that one download saves; NULL: no known build
);

CREATE INDEX wheels_project ON wheels (project);

-- What user agents say of themselves; '' where they do not.
CREATE TABLE agents (
    agent             bigint PRIMARY KEY,
    class             text NOT NULL,  -- installer, browser, bot, mirror, tool, other
    installer         text NOT NULL,
    installer_version text NOT NULL,
    arch              text NOT NULL,
    os                text NOT NULL,
    os_release        text NOT NULL,
    python            text NOT NULL
);

-- A day in one row. Where a day was both counted here and imported, the larger figure stands:
-- what both counted must not count twice.
CREATE TABLE download_days (
    day              date PRIMARY KEY,
    counted          bigint NOT NULL DEFAULT 0,
    counted_bytes    bigint NOT NULL DEFAULT 0,
    counted_saved_s  double precision NOT NULL DEFAULT 0,
    imported         bigint NOT NULL DEFAULT 0,
    imported_bytes   bigint NOT NULL DEFAULT 0,
    imported_saved_s double precision NOT NULL DEFAULT 0,
    downloads        bigint NOT NULL
                     GENERATED ALWAYS AS (greatest(counted, imported)) STORED,
    bytes            bigint NOT NULL
                     GENERATED ALWAYS AS (greatest(counted_bytes, imported_bytes)) STORED,
    saved_s          double precision NOT NULL
                     GENERATED ALWAYS AS (greatest(counted_saved_s, imported_saved_s)) STORED,
    clients          bigint NOT NULL DEFAULT 0,  -- distinct addresses, of any kind of access
    index_hits       bigint NOT NULL DEFAULT 0,
    project_pages    bigint NOT NULL DEFAULT 0,
    json_pages       bigint NOT NULL DEFAULT 0,
    log_pages        bigint NOT NULL DEFAULT 0,
    others           bigint NOT NULL DEFAULT 0   -- everything else, refusals included
);

-- Downloads of a day by architecture, os, python and installer; '' is unknown.
CREATE TABLE download_dimensions (
    day       date NOT NULL,
    dimension text NOT NULL,
    value     text NOT NULL,
    downloads bigint NOT NULL,
    PRIMARY KEY (dimension, day, value)
);

-- Downloads of a month in one row, with a count for each day in which there were any: days[25] is
-- the 25th, and the array begins and ends where the downloads do. A row a day would take five
-- times the room.
CREATE TABLE download_projects (
    month     date NOT NULL,          -- its first day
    project   text NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, project)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The months lie one after the other: a few kilobytes spare a reading of the whole table.
CREATE INDEX download_projects_months ON download_projects
 USING brin (month) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE download_wheels (
    month     date NOT NULL,
    wheel     bigint NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, wheel)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- All months of download_projects together.
CREATE TABLE download_totals (
    project   text PRIMARY KEY,
    downloads bigint NOT NULL,
    saved_s   double precision NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The last hour by the second, for those who watch.
CREATE TABLE download_seconds (
    second    timestamptz PRIMARY KEY,
    downloads integer NOT NULL
);

-- Who reads a log just now, and when it last said so.
CREATE TABLE access_readers (
    reader  text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- The key that a day's addresses are hashed with, and the hashes seen: both are deleted when the
-- day is over, and only their number stays. A NULL key is one that was forgotten.
CREATE TABLE access_keys (
    day     date PRIMARY KEY,
    key     bytea,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access_clients (
    day    date NOT NULL,
    client bigint NOT NULL,
    PRIMARY KEY (day, client)
);

-- Each log that was read, known by its content: the hash of its first line, and a chain of hashes
-- at the checkpoints, of which the last is where reading got to. A copy, a packed copy or a
-- rotated file has the same content, so it is the same log.
CREATE TABLE access_logs (
    log        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_line bytea NOT NULL,
    ordinal    integer NOT NULL,      -- among logs that begin with the same line
    position   bigint NOT NULL,       -- bytes, unpacked, up to the end of the last line read
    digest     bytea NOT NULL,        -- of the chain, at that position
    lines      bigint NOT NULL,
    broken     bigint NOT NULL,       -- lines that could not be read
    name       text NOT NULL,         -- the file that it was last read from
    read_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (first_line, ordinal)
);

CREATE TABLE access_checkpoints (
    log      bigint NOT NULL REFERENCES access_logs ON DELETE CASCADE,
    position bigint NOT NULL,
    digest   bytea NOT NULL,
    PRIMARY KEY (log, position)
);

-- Make the partition that holds a moment, if it is not there.
CREATE FUNCTION ensure_access_partition(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', at AT TIME ZONE 'UTC')::date;
    name text := 'accesses_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF accesses FOR VALUES FROM (%L) TO (%L)',
            name, first::text || ' 00:00+00', (first + interval '1 month')::date::text || ' 00:00+00'
        );
    END IF;
END $$;

-- Drop the partitions that ended before a month; gives their names.
CREATE FUNCTION drop_access_partitions(before date) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'accesses'::regclass
           AND c.relname < 'accesses_' || to_char(before, 'YYYY_MM')
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        RETURN NEXT name;
    END LOOP;
END $$;
