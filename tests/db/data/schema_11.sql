
CREATE TABLE settings (
    key   text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE events (
    event   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    who     text NOT NULL,
    action  text NOT NULL,
    subject text NOT NULL DEFAULT '',
    detail  text NOT NULL DEFAULT ''
);

CREATE TABLE targets (
    target         text PRIMARY KEY,
    position       integer NOT NULL,  -- numeric order: cp39 before cp311
    python         text NOT NULL,
    python_full    text NOT NULL,
    implementation text NOT NULL,
    abi            text NOT NULL,
    arch           text NOT NULL,
    os             text NOT NULL,
    glibc          text NOT NULL,
    skip           text,              -- why nothing is built for it; NULL where it is active
    converging     boolean NOT NULL DEFAULT true  -- jobs do not follow its last change yet
);

CREATE TABLE specifiers (
    requires_python text PRIMARY KEY
);

CREATE TABLE python_ranges (
    requires_python text NOT NULL REFERENCES specifiers ON DELETE CASCADE,
    target          text NOT NULL REFERENCES targets ON DELETE CASCADE,
    PRIMARY KEY (requires_python, target)
);

CREATE TABLE kinds (
    kind  text PRIMARY KEY,
    tags  text NOT NULL,
    glibc text NOT NULL
);

CREATE TABLE kind_targets (
    kind   text NOT NULL REFERENCES kinds ON DELETE CASCADE,
    target text NOT NULL REFERENCES targets ON DELETE CASCADE,
    PRIMARY KEY (kind, target)
);

CREATE TABLE projects (
    project       text PRIMARY KEY,
    display       text NOT NULL,
    added_at      timestamptz NOT NULL DEFAULT now(),
    since         timestamptz,        -- releases newer than this are followed; NULL: none are
    status        text NOT NULL DEFAULT 'active',  -- PEP 792
    status_reason text NOT NULL DEFAULT '',
    skip          text,
    next_poll     timestamptz NOT NULL DEFAULT now(),
    seen          text NOT NULL DEFAULT ''  -- the upstream's serial or ETag at the last look
);

CREATE INDEX projects_next_poll ON projects (next_poll) WHERE since IS NOT NULL;

CREATE TABLE releases (
    project         text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version         text NOT NULL,
    released_at     timestamptz NOT NULL,
    requires_python text NOT NULL REFERENCES specifiers,
    yanked          text,             -- PEP 592: NULL is not yanked, '' is without a reason
    skip            text,
    sdist_filename  text,
    sdist_url       text,
    sdist_sha256    text,
    sdist_size      bigint,
    PRIMARY KEY (project, version)
);

CREATE SEQUENCE build_numbers;

CREATE TABLE builds (
    build      bigint PRIMARY KEY,
    project    text NOT NULL,
    version    text NOT NULL,
    target     text NOT NULL REFERENCES targets ON DELETE CASCADE,
    builder    text NOT NULL,
    outcome    text NOT NULL,
    retryable  boolean NOT NULL,      -- a failure that another try can mend
    reason     text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL DEFAULT now(),
    duration_s double precision NOT NULL,
    attempt    integer NOT NULL,
    inputs     text[] NOT NULL,       -- what the index proxy handed out
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
);

CREATE INDEX builds_release ON builds (project, version, target);
CREATE INDEX builds_ended ON builds (ended_at);

CREATE TABLE filenames (
    filename text PRIMARY KEY,
    sha256   text NOT NULL
);

CREATE TABLE files (
    filename        text PRIMARY KEY REFERENCES filenames,
    sha256          text NOT NULL,
    size_bytes      bigint NOT NULL,
    metadata_sha256 text NOT NULL,
    kind            text NOT NULL REFERENCES kinds,
    requires_python text NOT NULL,
    dependencies    text[] NOT NULL,  -- Debian packages
    project         text NOT NULL,
    version         text NOT NULL,
    build           bigint NOT NULL REFERENCES builds ON DELETE CASCADE,
    superseded      boolean NOT NULL DEFAULT false,  -- published, but to be built again
    published_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
);

CREATE INDEX files_release ON files (project, version);
CREATE INDEX files_build ON files (build);

CREATE TABLE removals (
    filename   text PRIMARY KEY,
    sha256     text NOT NULL,
    project    text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
    project    text NOT NULL,
    version    text NOT NULL,
    target     text NOT NULL REFERENCES targets ON DELETE CASCADE,
    queued_at  timestamptz NOT NULL DEFAULT now(),
    due        timestamptz NOT NULL DEFAULT now(),  -- queued_at less what its priority is worth
    attempts   integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    claimed_by text,
    claimed_at timestamptz,
    build      bigint,
    PRIMARY KEY (project, version, target),
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05,
    fillfactor = 70
);

CREATE INDEX jobs_claimable ON jobs (target, due) WHERE claimed_by IS NULL AND not_before IS NULL;
CREATE INDEX jobs_deferred ON jobs (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX jobs_claimed ON jobs (claimed_by) WHERE claimed_by IS NOT NULL;

CREATE SEQUENCE page_generations;

CREATE TABLE stale_pages (
    project    text PRIMARY KEY,
    generation bigint NOT NULL DEFAULT nextval('page_generations'),
    urgent     boolean NOT NULL DEFAULT false,
    since      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX stale_pages_order ON stale_pages (urgent DESC, since);

CREATE VIEW coverage AS
SELECT r.project, r.version, wanted.target
  FROM releases r
  JOIN projects p ON p.project = r.project
 CROSS JOIN LATERAL (
     SELECT EXISTS (
                SELECT FROM files f
                 WHERE f.project = r.project AND f.version = r.version AND NOT f.superseded
            ) AS any
 ) wheel
 CROSS JOIN LATERAL (
     SELECT open.target, open.tried,
            row_number() OVER (PARTITION BY open.tried ORDER BY open.position, open.target) AS place
       FROM (
           SELECT t.target, t.position,
                  EXISTS (
                      SELECT FROM builds b
                       WHERE b.project = r.project AND b.version = r.version
                         AND b.target = t.target AND b.outcome <> 'built'
                  ) AS tried
             FROM python_ranges pr
             JOIN targets t ON t.target = pr.target
            WHERE pr.requires_python = r.requires_python
              AND t.skip IS NULL
              AND NOT EXISTS (
                  SELECT FROM files f
                    JOIN kind_targets kt ON kt.kind = f.kind
                   WHERE f.project = r.project AND f.version = r.version
                     AND NOT f.superseded AND kt.target = t.target
              )
              AND NOT EXISTS (
                  SELECT FROM builds b
                   WHERE b.project = r.project AND b.version = r.version
                     AND b.target = t.target AND b.outcome <> 'built' AND NOT b.retryable
              )
       ) open
 ) wanted
 WHERE r.sdist_url IS NOT NULL
   AND r.skip IS NULL
   AND p.skip IS NULL
   AND p.status <> 'quarantined'
   AND (wheel.any OR wanted.tried OR wanted.place = 1);

CREATE FUNCTION lock_projects(names text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7091);
    RETURN QUERY
    SELECT project FROM projects WHERE project = ANY (names) ORDER BY project FOR NO KEY UPDATE;
END $$;

CREATE FUNCTION refresh_jobs(projects text[], versions text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH changed AS (
        SELECT DISTINCT * FROM unnest(projects, versions) AS named (project, version)
    ), wanted AS MATERIALIZED (
        SELECT c.project, c.version, c.target
          FROM changed
          JOIN coverage c ON c.project = changed.project AND c.version = changed.version
    ), gone AS (
        DELETE FROM jobs j
         USING changed
         WHERE j.project = changed.project
           AND j.version = changed.version
           AND j.claimed_by IS NULL
           AND NOT EXISTS (
               SELECT FROM wanted w
                WHERE w.project = j.project AND w.version = j.version AND w.target = j.target
           )
    )
    INSERT INTO jobs (project, version, target)
    SELECT w.project, w.version, w.target
      FROM wanted w
     ORDER BY w.project, w.version, w.target
        ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION refresh_changed_releases() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    projects text[];
    versions text[];
BEGIN
    SELECT array_agg(c.project ORDER BY c.project, c.version),
           array_agg(c.version ORDER BY c.project, c.version)
      INTO projects, versions
      FROM (SELECT DISTINCT project, version FROM changed) c;
    IF projects IS NOT NULL THEN
        PERFORM refresh_jobs(projects, versions);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER releases_inserted AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER releases_updated AFTER UPDATE ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER builds_inserted AFTER INSERT ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER builds_updated AFTER UPDATE ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER files_inserted AFTER INSERT ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER files_updated AFTER UPDATE ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();
CREATE TRIGGER files_deleted AFTER DELETE ON files
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_releases();

CREATE FUNCTION refresh_changed_projects() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    projects text[];
    versions text[];
BEGIN
    SELECT array_agg(r.project ORDER BY r.project, r.version),
           array_agg(r.version ORDER BY r.project, r.version)
      INTO projects, versions
      FROM before
      JOIN after ON after.project = before.project
      JOIN releases r ON r.project = after.project
     WHERE (before.skip IS NULL) <> (after.skip IS NULL)
        OR (before.status = 'quarantined') <> (after.status = 'quarantined');
    IF projects IS NOT NULL THEN
        PERFORM refresh_jobs(projects, versions);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER projects_updated AFTER UPDATE ON projects
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_changed_projects();

CREATE PROCEDURE converge(batch integer DEFAULT 1000) LANGUAGE plpgsql AS $$
DECLARE
    reached text := '';
    names text[];
BEGIN
    LOOP
        SELECT array_agg(p.project ORDER BY p.project) INTO names
          FROM (SELECT project FROM projects
                 WHERE project > reached ORDER BY project LIMIT batch) p;
        EXIT WHEN names IS NULL;
        PERFORM FROM lock_projects(names);
        PERFORM refresh_jobs(array_agg(r.project), array_agg(r.version))
           FROM releases r WHERE r.project = ANY (names);
        reached := names[array_upper(names, 1)];
        COMMIT;
    END LOOP;
    UPDATE targets SET converging = false WHERE converging;
    COMMIT;
END $$;

CREATE FUNCTION make_stale(names text[], is_urgent boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stale_pages (project, urgent)
    SELECT DISTINCT name, is_urgent FROM unnest(names) AS name ORDER BY name
        ON CONFLICT (project) DO UPDATE
       SET generation = nextval('page_generations'),
           urgent = stale_pages.urgent OR excluded.urgent;
    NOTIFY stale_pages;
END $$;

CREATE FUNCTION files_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    appeared_or_gone boolean;
BEGIN
    SELECT array_agg(DISTINCT c.project) INTO names FROM changed c;
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO removals (filename, sha256, project)
        SELECT c.filename, c.sha256, c.project FROM changed c
            ON CONFLICT (filename) DO UPDATE SET removed_at = now();
        SELECT bool_or(NOT EXISTS (SELECT FROM files f WHERE f.project = name))
          INTO appeared_or_gone FROM unnest(names) AS name;
    ELSE
        DELETE FROM removals r USING changed c WHERE r.filename = c.filename;
        SELECT bool_or(
                   NOT EXISTS (
                       SELECT FROM files f
                        WHERE f.project = name
                          AND f.filename NOT IN (SELECT c.filename FROM changed c)
                   )
               )
          INTO appeared_or_gone FROM unnest(names) AS name;
    END IF;
    PERFORM make_stale(names, TG_OP = 'DELETE');
    IF appeared_or_gone THEN
        PERFORM make_stale(ARRAY['']);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER files_inserted_pages AFTER INSERT ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION files_change_pages();
CREATE TRIGGER files_deleted_pages AFTER DELETE ON files
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION files_change_pages();

CREATE FUNCTION releases_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
BEGIN
    SELECT array_agg(DISTINCT c.project) INTO names
      FROM changed c
     WHERE EXISTS (SELECT FROM files f WHERE f.project = c.project);
    IF names IS NOT NULL THEN
        PERFORM make_stale(names, true);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER releases_updated_pages AFTER UPDATE ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION releases_change_pages();

CREATE FUNCTION projects_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
BEGIN
    SELECT array_agg(after.project) INTO names
      FROM before
      JOIN after ON after.project = before.project
     WHERE (before.status, before.status_reason, before.display)
           IS DISTINCT FROM (after.status, after.status_reason, after.display)
       AND EXISTS (SELECT FROM files f WHERE f.project = after.project);
    IF names IS NOT NULL THEN
        PERFORM make_stale(names, true);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER projects_updated_pages AFTER UPDATE ON projects
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION projects_change_pages();

CREATE FUNCTION notify_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed WHERE claimed_by IS NULL AND not_before IS NULL) THEN
        NOTIFY jobs;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_jobs();
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_jobs();

CREATE TABLE accesses (
    at     timestamptz NOT NULL,
    client bigint,                    -- a keyed hash of the address; NULL: its day's key is gone
    agent  bigint NOT NULL,
    wheel  bigint,                    -- of a download
    bytes  bigint NOT NULL,
    kind   smallint NOT NULL,         -- the numbers of accesslog.parse.Kind
    status smallint NOT NULL
) PARTITION BY RANGE (at);

CREATE TABLE wheels (
    wheel    bigint PRIMARY KEY,
    filename text NOT NULL,
    project  text NOT NULL,
    saved_s  double precision         -- build time that one download saves; NULL: no known build
);

CREATE INDEX wheels_project ON wheels (project);

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

CREATE TABLE download_dimensions (
    day       date NOT NULL,
    dimension text NOT NULL,
    value     text NOT NULL,
    downloads bigint NOT NULL,
    PRIMARY KEY (dimension, day, value)
);

CREATE TABLE download_projects (
    month     date NOT NULL,          -- its first day
    project   text NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, project)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX download_projects_months ON download_projects
 USING brin (month) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE download_wheels (
    month     date NOT NULL,
    wheel     bigint NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, wheel)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE download_totals (
    project   text PRIMARY KEY,
    downloads bigint NOT NULL,
    saved_s   double precision NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE download_seconds (
    second    timestamptz PRIMARY KEY,
    downloads integer NOT NULL
);

CREATE TABLE access_readers (
    reader  text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

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

ALTER TABLE events RENAME COLUMN detail TO outcome;

CREATE INDEX builds_duration ON builds (duration_s);

CREATE TABLE page_changes (
    part   text NOT NULL,              -- simple, project, ...: see db/pages.py
    name   text NOT NULL,              -- the project; '' where the part is one page
    urgent boolean NOT NULL DEFAULT false,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX page_changes_part ON page_changes (part, name);

ALTER TABLE stale_pages RENAME COLUMN project TO name;
ALTER TABLE stale_pages ADD COLUMN part text NOT NULL DEFAULT 'simple';
ALTER TABLE stale_pages ALTER COLUMN part DROP DEFAULT;
ALTER TABLE stale_pages DROP CONSTRAINT stale_pages_pkey;
ALTER TABLE stale_pages ADD PRIMARY KEY (part, name);
ALTER TABLE stale_pages ADD COLUMN stale boolean NOT NULL DEFAULT true;
ALTER TABLE stale_pages ADD COLUMN written_at timestamptz;
ALTER TABLE stale_pages ADD COLUMN failures integer NOT NULL DEFAULT 0;
ALTER TABLE stale_pages ADD COLUMN retry_at timestamptz;  -- after a failure, not before
DROP INDEX stale_pages_order;
CREATE INDEX stale_pages_order ON stale_pages (part, urgent DESC, since) WHERE stale;

CREATE TABLE project_names (
    name       text PRIMARY KEY,
    project    text NOT NULL REFERENCES projects ON DELETE CASCADE,
    written_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX project_names_project ON project_names (project);

CREATE TABLE queue_samples (
    at      timestamptz NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    pending integer NOT NULL,          -- due now or later, in nobody's hands
    claimed integer NOT NULL,
    PRIMARY KEY (at, target)
);

DROP FUNCTION make_stale(text[], boolean);

CREATE FUNCTION make_stale(which text, names text[], is_urgent boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO page_changes (part, name, urgent)
    SELECT which, name, is_urgent FROM unnest(names) AS name;
    IF which = 'simple' OR is_urgent THEN
        NOTIFY stale_pages;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION files_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    appeared_or_gone boolean;
BEGIN
    SELECT array_agg(DISTINCT c.project) INTO names FROM changed c;
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO removals (filename, sha256, project)
        SELECT c.filename, c.sha256, c.project FROM changed c
            ON CONFLICT (filename) DO UPDATE SET removed_at = now();
        SELECT bool_or(NOT EXISTS (SELECT FROM files f WHERE f.project = name))
          INTO appeared_or_gone FROM unnest(names) AS name;
    ELSE
        DELETE FROM removals r USING changed c WHERE r.filename = c.filename;
        SELECT bool_or(
                   NOT EXISTS (
                       SELECT FROM files f
                        WHERE f.project = name
                          AND f.filename NOT IN (SELECT c.filename FROM changed c)
                   )
               )
          INTO appeared_or_gone FROM unnest(names) AS name;
    END IF;
    PERFORM make_stale('simple', names, TG_OP = 'DELETE');
    PERFORM make_stale('project', names);
    IF appeared_or_gone THEN
        PERFORM make_stale('simple', ARRAY['']);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION releases_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    indexed text[];
BEGIN
    SELECT array_agg(c.project),
           array_agg(c.project) FILTER (
               WHERE EXISTS (SELECT FROM files f WHERE f.project = c.project))
      INTO names, indexed
      FROM (SELECT DISTINCT project FROM changed) c;
    IF names IS NOT NULL THEN
        PERFORM make_stale('project', names);
    END IF;
    IF indexed IS NOT NULL AND TG_OP = 'UPDATE' THEN
        PERFORM make_stale('simple', indexed, true);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER releases_inserted_pages AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION releases_change_pages();
CREATE TRIGGER releases_deleted_pages AFTER DELETE ON releases
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION releases_change_pages();

CREATE OR REPLACE FUNCTION projects_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    indexed text[];
BEGIN
    SELECT array_agg(after.project),
           array_agg(after.project) FILTER (
               WHERE (before.status, before.status_reason)
                     IS DISTINCT FROM (after.status, after.status_reason)
                 AND EXISTS (SELECT FROM files f WHERE f.project = after.project))
      INTO names, indexed
      FROM before
      JOIN after ON after.project = before.project
     WHERE (before.status, before.status_reason, before.display, before.skip)
           IS DISTINCT FROM (after.status, after.status_reason, after.display, after.skip);
    IF names IS NOT NULL THEN
        PERFORM make_stale('project', names);
    END IF;
    IF indexed IS NOT NULL THEN
        PERFORM make_stale('simple', indexed, true);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION change_project_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO page_changes (part, name) SELECT DISTINCT 'project', c.project FROM changed c;
    RETURN NULL;
END $$;

CREATE TRIGGER projects_inserted_pages AFTER INSERT ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER projects_deleted_pages AFTER DELETE ON projects
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER builds_inserted_pages AFTER INSERT ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER builds_updated_pages AFTER UPDATE ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER jobs_inserted_pages AFTER INSERT ON jobs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER jobs_updated_pages AFTER UPDATE ON jobs
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER jobs_deleted_pages AFTER DELETE ON jobs
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER files_updated_pages AFTER UPDATE ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();

CREATE FUNCTION targets_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_stale('projects', ARRAY['']);
    RETURN NULL;
END $$;

CREATE TRIGGER targets_changed_pages AFTER INSERT OR UPDATE OR DELETE ON targets
    FOR EACH STATEMENT EXECUTE FUNCTION targets_change_pages();

CREATE FUNCTION names_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_stale('alias', array_agg(c.name)),
            make_stale('project', array_agg(DISTINCT c.project))
       FROM changed c;
    RETURN NULL;
END $$;

CREATE TRIGGER project_names_inserted AFTER INSERT ON project_names
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION names_change_pages();
CREATE TRIGGER project_names_updated AFTER UPDATE ON project_names
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION names_change_pages();
CREATE TRIGGER project_names_deleted AFTER DELETE ON project_names
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION names_change_pages();

CREATE FUNCTION name_projects() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO project_names (name, project)
    SELECT c.display, c.project
      FROM changed c
     WHERE c.display <> c.project
       AND c.display ~ '^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$'
     ORDER BY c.display
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER projects_inserted_names AFTER INSERT ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION name_projects();
CREATE TRIGGER projects_updated_names AFTER UPDATE ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION name_projects();

INSERT INTO project_names (name, project)
SELECT display, project
  FROM projects
 WHERE display <> project
   AND display ~ '^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$';

INSERT INTO page_changes (part, name) VALUES ('projects', '');

CREATE OR REPLACE PROCEDURE converge(batch integer DEFAULT 1000) LANGUAGE plpgsql AS $$
DECLARE
    reached text := '';
    names text[];
    begun text[];
BEGIN
    SELECT array_agg(target || ' ' || xmin::text) INTO begun FROM targets WHERE converging;
    LOOP
        SELECT array_agg(p.project ORDER BY p.project) INTO names
          FROM (SELECT project FROM projects
                 WHERE project > reached ORDER BY project LIMIT batch) p;
        EXIT WHEN names IS NULL;
        PERFORM FROM lock_projects(names);
        PERFORM refresh_jobs(array_agg(r.project), array_agg(r.version))
           FROM releases r WHERE r.project = ANY (names);
        reached := names[array_upper(names, 1)];
        COMMIT;
    END LOOP;
    UPDATE targets SET converging = false
     WHERE converging AND target || ' ' || xmin::text = ANY (begun);
    COMMIT;
END $$;

CREATE OR REPLACE FUNCTION files_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    appeared_or_gone boolean;
BEGIN
    SELECT array_agg(DISTINCT c.project) INTO names FROM changed c;
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO removals (filename, sha256, project)
        SELECT c.filename, c.sha256, c.project FROM changed c
            ON CONFLICT (filename) DO UPDATE SET removed_at = now()
         WHERE removals.removed_at <> 'infinity';
        SELECT bool_or(NOT EXISTS (SELECT FROM files f WHERE f.project = name))
          INTO appeared_or_gone FROM unnest(names) AS name;
    ELSE
        DELETE FROM removals r USING changed c WHERE r.filename = c.filename;
        SELECT bool_or(
                   NOT EXISTS (
                       SELECT FROM files f
                        WHERE f.project = name
                          AND f.filename NOT IN (SELECT c.filename FROM changed c)
                   )
               )
          INTO appeared_or_gone FROM unnest(names) AS name;
    END IF;
    PERFORM make_stale('simple', names, TG_OP = 'DELETE');
    PERFORM make_stale('project', names);
    IF appeared_or_gone THEN
        PERFORM make_stale('simple', ARRAY['']);
    END IF;
    RETURN NULL;
END $$;

ALTER TABLE releases ADD COLUMN missing_since timestamptz;
ALTER TABLE releases ADD COLUMN removed_at timestamptz;

CREATE INDEX releases_missing ON releases (project, version) WHERE missing_since IS NOT NULL;

ALTER TABLE projects ADD COLUMN existing text[];
ALTER TABLE projects ADD COLUMN page_serial bigint;  -- the highest that a page had
ALTER TABLE projects ADD COLUMN etag text NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN modified text NOT NULL DEFAULT '';  -- HTTP's Last-Modified
ALTER TABLE projects ADD COLUMN looked_at timestamptz;
ALTER TABLE projects ADD COLUMN finding text NOT NULL DEFAULT '';  -- current, absent, ...
ALTER TABLE projects ADD COLUMN repeats integer NOT NULL DEFAULT 0;  -- looks in a row with it
ALTER TABLE projects ADD COLUMN problem text NOT NULL DEFAULT '';
ALTER TABLE projects DROP COLUMN seen;

CREATE TABLE upstream_changes (
    project    text PRIMARY KEY,
    serial     bigint NOT NULL,        -- of the newest event
    action     text NOT NULL,          -- its word for it
    removed    text[] NOT NULL,        -- removed releases, '' for the project as a whole
    gone       boolean NOT NULL,       -- the newest event is the removal of the project
    first_seen timestamptz NOT NULL DEFAULT now(),
    next_look  timestamptz NOT NULL DEFAULT now(),
    looks      integer NOT NULL DEFAULT 0,
    unproven   integer NOT NULL DEFAULT 0,  -- looks at pages that carry no serial
    problem    text NOT NULL DEFAULT ''
);

CREATE INDEX upstream_changes_next_look ON upstream_changes (next_look);

ALTER TABLE kind_targets ADD COLUMN preference integer;
ALTER TABLE kind_targets ADD COLUMN loads boolean NOT NULL DEFAULT true;
ALTER TABLE kinds ADD COLUMN resolved boolean NOT NULL DEFAULT false;

ALTER TABLE files ADD COLUMN build_tag integer NOT NULL DEFAULT 0;
UPDATE files SET build_tag = substring(split_part(filename, '-', 3) FROM '^\d{1,9}')::integer
 WHERE array_length(string_to_array(filename, '-'), 1) = 6
   AND split_part(filename, '-', 3) ~ '^\d{1,9}(\D|$)';

ALTER TABLE builds ADD COLUMN lacking boolean NOT NULL DEFAULT false;

ALTER TABLE targets ADD COLUMN served boolean NOT NULL DEFAULT true;
ALTER TABLE targets ADD COLUMN equipped boolean NOT NULL DEFAULT false;

CREATE TABLE target_absences (
    target       text PRIMARY KEY REFERENCES targets ON DELETE CASCADE,
    unserved_s   double precision NOT NULL DEFAULT 0,
    unequipped_s double precision NOT NULL DEFAULT 0
);

ALTER TABLE projects ADD COLUMN pure boolean NOT NULL DEFAULT false;
UPDATE projects p SET pure = true
 WHERE EXISTS (SELECT FROM files f WHERE f.project = p.project)
   AND NOT EXISTS (
       SELECT FROM files f JOIN kinds k ON k.kind = f.kind
        WHERE f.project = p.project AND k.tags NOT LIKE '%-none-any'
   );

ALTER TABLE jobs ADD COLUMN pure boolean NOT NULL DEFAULT false;  -- of its project
UPDATE jobs SET pure = true FROM projects p WHERE p.project = jobs.project AND p.pure;
CREATE INDEX jobs_claimable_pure ON jobs (target, due)
 WHERE claimed_by IS NULL AND not_before IS NULL AND pure;

CREATE TABLE target_skips (
    project text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version text NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    reason  text NOT NULL,
    PRIMARY KEY (project, target, version)
);

CREATE VIEW installable AS
SELECT f.project, f.version, kt.target, f.filename, kt.preference, f.build_tag, kt.loads,
       f.superseded, f.build, b.target AS made_for, b.ended_at, b.lacking
  FROM files f
  JOIN builds b ON b.build = f.build
  JOIN kind_targets kt ON kt.kind = f.kind
 WHERE EXISTS (
           SELECT FROM python_ranges pr
            WHERE pr.requires_python = f.requires_python AND pr.target = kt.target
       )
    OR NOT EXISTS (SELECT FROM specifiers s WHERE s.requires_python = f.requires_python);

CREATE VIEW covering AS
SELECT i.project, i.version, i.target, i.filename, i.preference, i.build_tag, i.build, i.lacking
  FROM installable i
  JOIN targets t ON t.target = i.target
 WHERE i.loads
   AND NOT i.superseded
   AND NOT (i.lacking AND t.equipped)
   AND NOT EXISTS (
       SELECT FROM installable other
        WHERE other.project = i.project AND other.version = i.version
          AND other.target = i.target
          AND NOT other.loads
          AND (other.preference, -other.build_tag) < (i.preference, -i.build_tag)
          AND NOT (i.made_for = i.target AND i.ended_at > other.ended_at)
   );

CREATE OR REPLACE VIEW coverage AS
SELECT r.project, r.version, wanted.target
  FROM releases r
  JOIN projects p ON p.project = r.project
 CROSS JOIN LATERAL (
     SELECT EXISTS (
                SELECT FROM files f JOIN builds b ON b.build = f.build
                 WHERE f.project = r.project AND f.version = r.version
                   AND NOT f.superseded AND NOT b.lacking
            ) AS any
 ) wheel
 CROSS JOIN LATERAL (
     SELECT open.target, open.tried,
            count(*) FILTER (WHERE open.served AND NOT open.tried) OVER (
                PARTITION BY open.abi, open.arch
                    ORDER BY open.position, open.target
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS ahead
       FROM (
           SELECT t.target, t.position, t.served, failures.tried,
                  CASE WHEN wheel.any THEN t.abi END AS abi,
                  CASE WHEN wheel.any THEN t.arch END AS arch
             FROM python_ranges pr
             JOIN targets t ON t.target = pr.target
            CROSS JOIN LATERAL (
                SELECT count(*) > 0 AS tried,
                       coalesce(bool_or(NOT b.retryable), false) AS final
                  FROM builds b
                 WHERE b.project = r.project AND b.version = r.version
                   AND b.target = t.target AND b.outcome <> 'built'
                   AND NOT (b.lacking AND t.equipped)
            ) failures
            WHERE pr.requires_python = r.requires_python
              AND t.skip IS NULL
              AND NOT failures.final
              AND NOT EXISTS (
                  SELECT FROM covering c
                   WHERE c.project = r.project AND c.version = r.version
                     AND c.target = t.target
              )
              AND NOT EXISTS (
                  SELECT FROM target_skips s
                   WHERE s.project = r.project AND s.target = t.target
                     AND s.version IN ('', r.version)
              )
       ) open
 ) wanted
 WHERE r.sdist_url IS NOT NULL
   AND r.skip IS NULL
   AND r.missing_since IS NULL
   AND p.skip IS NULL
   AND p.status <> 'quarantined'
   AND (wanted.tried OR wanted.ahead = 0);

CREATE OR REPLACE FUNCTION refresh_jobs(projects text[], versions text[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    WITH changed AS (
        SELECT DISTINCT * FROM unnest(projects, versions) AS named (project, version)
    ), wanted AS MATERIALIZED (
        SELECT c.project, c.version, c.target
          FROM changed
          JOIN coverage c ON c.project = changed.project AND c.version = changed.version
    ), gone AS (
        DELETE FROM jobs j
         USING changed
         WHERE j.project = changed.project
           AND j.version = changed.version
           AND j.claimed_by IS NULL
           AND NOT EXISTS (
               SELECT FROM wanted w
                WHERE w.project = j.project AND w.version = j.version AND w.target = j.target
           )
    )
    INSERT INTO jobs (project, version, target, pure)
    SELECT w.project, w.version, w.target, p.pure
      FROM wanted w
      JOIN projects p ON p.project = w.project
     ORDER BY w.project, w.version, w.target
        ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION refresh_skipped_releases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM refresh_jobs(
        array_agg(r.project ORDER BY r.project, r.version),
        array_agg(r.version ORDER BY r.project, r.version)
    )
       FROM releases r
      WHERE EXISTS (
          SELECT FROM changed c
           WHERE c.project = r.project AND c.version IN ('', r.version)
      )
     HAVING count(*) > 0;
    RETURN NULL;
END $$;

CREATE TRIGGER target_skips_inserted AFTER INSERT ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_skipped_releases();
CREATE TRIGGER target_skips_deleted AFTER DELETE ON target_skips
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_skipped_releases();
CREATE TRIGGER target_skips_inserted_pages AFTER INSERT ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER target_skips_updated_pages AFTER UPDATE ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER target_skips_deleted_pages AFTER DELETE ON target_skips
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();

UPDATE targets SET converging = true;

ALTER TABLE builds
    ADD COLUMN failure  text NOT NULL DEFAULT '',
    ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN forgiven boolean NOT NULL DEFAULT false;

ALTER TABLE jobs
    ADD COLUMN delay        interval,
    ADD COLUMN held         text,
    ADD COLUMN avoid        text NOT NULL DEFAULT '',
    ADD COLUMN memory_over  bigint NOT NULL DEFAULT 0,
    ADD COLUMN limit_s      double precision NOT NULL DEFAULT 0,
    ADD COLUMN min_speed    double precision NOT NULL DEFAULT 0,
    ADD COLUMN last_build   bigint,
    ADD COLUMN last_builder text;

CREATE TABLE access_lines (
    minute integer NOT NULL,          -- since 1970, in which the line was logged
    marks  bytea NOT NULL,
    fresh  boolean NOT NULL DEFAULT true  -- written by a commit, and not put together yet
);

ALTER TABLE access_lines ALTER COLUMN marks SET STORAGE EXTERNAL;

CREATE TABLE access_days_pruned (
    day date PRIMARY KEY
);

CREATE INDEX access_lines_minute ON access_lines (minute);
CREATE INDEX access_lines_fresh ON access_lines (minute) WHERE fresh;

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

CREATE FUNCTION prune_access_lines(before date) RETURNS void LANGUAGE sql AS $$
    WITH deleted AS (
        DELETE FROM access_lines WHERE minute < (before - date '1970-01-01') * 1440
     RETURNING minute
    )
    INSERT INTO access_days_pruned (day)
    SELECT DISTINCT date '1970-01-01' + minute / 1440 FROM deleted
        ON CONFLICT DO NOTHING
$$;
CREATE TABLE upstream_pages (
    project          text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    newest_version   text,                    -- the newest that is not yanked; NULL: there is none
    newest_at        timestamptz,             -- when that was uploaded; NULL: unknown
    newest_has_sdist boolean NOT NULL,
    problem_count    integer NOT NULL,        -- odd entries
    problems         text[] NOT NULL          -- the first of them, a line each
);

CREATE TRIGGER upstream_pages_inserted AFTER INSERT ON upstream_pages
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();
CREATE TRIGGER upstream_pages_updated AFTER UPDATE ON upstream_pages
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION change_project_pages();

ALTER TABLE releases ADD COLUMN sdist_digest text;
ALTER TABLE releases ADD COLUMN sdist_replaced_at timestamptz;
ALTER TABLE releases ADD COLUMN sdist_replaced_build bigint;

CREATE FUNCTION known_sdist(
    old releases, new releases,
    OUT filename text, OUT url text, OUT sha256 text, OUT size bigint, OUT digest text
) LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN listed THEN new.sdist_filename ELSE old.sdist_filename END,
           CASE WHEN listed THEN new.sdist_url ELSE old.sdist_url END,
           CASE WHEN listed AND NOT unhashed THEN new.sdist_sha256 ELSE old.sdist_sha256 END,
           CASE WHEN listed AND NOT (unhashed AND new.sdist_size IS NULL)
                THEN new.sdist_size ELSE old.sdist_size END,
           CASE WHEN listed AND NOT unhashed THEN new.sdist_digest ELSE old.sdist_digest END
      FROM (SELECT new.sdist_url IS NOT NULL AS listed,
                   new.sdist_url = old.sdist_url
                   AND coalesce(new.sdist_sha256, new.sdist_digest) IS NULL AS unhashed) told
$$;

CREATE FUNCTION sdist_is_replaced(old releases, new releases) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT old.sdist_filename = new.sdist_filename
       AND CASE
           WHEN old.sdist_sha256 IS NOT NULL AND new.sdist_sha256 IS NOT NULL
               THEN old.sdist_sha256 <> new.sdist_sha256
           WHEN split_part(old.sdist_digest, '=', 1) = split_part(new.sdist_digest, '=', 1)
               THEN old.sdist_digest <> new.sdist_digest
           ELSE coalesce(old.sdist_size <> new.sdist_size, false)
       END
$$;

CREATE FUNCTION sdist_was_replaced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE builds SET retryable = true, forgiven = true
     WHERE project = NEW.project AND version = NEW.version AND outcome <> 'built'
       AND NOT (retryable AND forgiven);
    UPDATE jobs
       SET not_before = NULL, delay = NULL, attempts = 0, held = NULL, avoid = '',
           memory_over = 0, limit_s = 0, min_speed = 0
     WHERE project = NEW.project AND version = NEW.version AND claimed_by IS NULL
       AND (not_before IS NOT NULL OR attempts > 0 OR held IS NOT NULL);
    UPDATE files SET superseded = true
     WHERE project = NEW.project AND version = NEW.version AND NOT superseded;
    INSERT INTO events (who, action, subject, outcome)
    VALUES ('upstream', 'another sdist under the same name: its wheels are built again',
            NEW.project || ' ' || NEW.version, '');
    RETURN NULL;
END $$;

CREATE TRIGGER releases_replaced_sdist AFTER UPDATE OF sdist_replaced_build ON releases
    FOR EACH ROW WHEN (NEW.sdist_replaced_build IS DISTINCT FROM OLD.sdist_replaced_build)
    EXECUTE FUNCTION sdist_was_replaced();

CREATE FUNCTION build_of_replaced_sdist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.outcome <> 'built' AND EXISTS (
        SELECT FROM releases r
         WHERE r.project = NEW.project AND r.version = NEW.version
           AND r.sdist_replaced_build > NEW.build
    ) THEN
        NEW.retryable := true;
        NEW.forgiven := true;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER builds_of_replaced_sdist BEFORE INSERT ON builds
    FOR EACH ROW EXECUTE FUNCTION build_of_replaced_sdist();

CREATE FUNCTION file_of_replaced_sdist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.superseded := NEW.superseded OR EXISTS (
        SELECT FROM releases r
         WHERE r.project = NEW.project AND r.version = NEW.version
           AND r.sdist_replaced_build > NEW.build);
    RETURN NEW;
END $$;

CREATE TRIGGER files_of_replaced_sdist BEFORE INSERT OR UPDATE ON files
    FOR EACH ROW EXECUTE FUNCTION file_of_replaced_sdist();

CREATE TABLE master_epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch  bigint NOT NULL  -- a count in the upper bits, and chance in the lower 24
);

INSERT INTO master_epoch (epoch) VALUES (0);

CREATE FUNCTION check_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7094);
    IF NOT EXISTS (
        SELECT FROM master_epoch WHERE epoch = current_setting('piwheels.epoch')::bigint
    ) THEN
        RAISE EXCEPTION 'another master has taken over this database' USING ERRCODE = 'PW001';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_epoch_everywhere() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    unchecked regclass;
BEGIN
    FOR unchecked IN
        SELECT c.oid
          FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace
           AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
           AND c.relname NOT IN ('master_epoch', 'schema_versions')
           AND NOT EXISTS (
               SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'epoch_checked')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER epoch_checked BEFORE INSERT OR UPDATE OR DELETE ON %s '
            'FOR EACH STATEMENT WHEN (coalesce(current_setting(''piwheels.epoch'', true), '''') <> '''') '
            'EXECUTE FUNCTION check_epoch()', unchecked);
    END LOOP;
END $$;

SELECT check_epoch_everywhere();

CREATE TABLE schema_versions (
    version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
INSERT INTO schema_versions (version) SELECT generate_series(1, 11);
