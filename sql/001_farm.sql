-- The tables of a farm, the rules of what has to be built, and the queue.
--
-- Keys are natural: normalised project names (PEP 503), canonical versions (PEP 440), targets
-- like cp313-trixie-aarch64. SQL never parses a tag or a specifier: python_ranges and
-- kind_targets hold what `packaging` said of them.
--
-- Every writer takes its locks in one order: the targets (advisory, shared), the projects in
-- name order, then rows, then jobs. lock_projects() takes the first two.

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

-- Each distinct Requires-Python, and the targets whose interpreter it allows.
CREATE TABLE specifiers (
    requires_python text PRIMARY KEY
);

CREATE TABLE python_ranges (
    requires_python text NOT NULL REFERENCES specifiers ON DELETE CASCADE,
    target          text NOT NULL REFERENCES targets ON DELETE CASCADE,
    PRIMARY KEY (requires_python, target)
);

-- Each distinct kind of wheel (tags and glibc need), and the targets that it installs on.
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

-- A file name stands for one content for ever, also when its file is gone.
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

-- Files that left the index and still lie in the tree, for readers of an older page.
CREATE TABLE removals (
    filename   text PRIMARY KEY,
    sha256     text NOT NULL,
    project    text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now()
);

-- What waits to be built: the view `coverage`, remembered, and what scheduling needs.
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
    -- Dead rows are what slows a claim down.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05,
    fillfactor = 70
);

CREATE INDEX jobs_claimable ON jobs (target, due) WHERE claimed_by IS NULL AND not_before IS NULL;
CREATE INDEX jobs_deferred ON jobs (not_before) WHERE not_before IS NOT NULL;
CREATE INDEX jobs_claimed ON jobs (claimed_by) WHERE claimed_by IS NOT NULL;

-- Pages to write; project '' is the listing of all projects. A page that becomes stale again
-- while it is written has another generation, and so is not lost.
CREATE SEQUENCE page_generations;

CREATE TABLE stale_pages (
    project    text PRIMARY KEY,
    generation bigint NOT NULL DEFAULT nextval('page_generations'),
    urgent     boolean NOT NULL DEFAULT false,
    since      timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX stale_pages_order ON stale_pages (urgent DESC, since);

-- What has to be built, by the rules alone.
--
-- A target of a release is open while no file covers it and no final failure settled it. A
-- release with a wheel wants all its open targets; one without wants the first that was not
-- tried, and those whose failure another try can mend.
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

-- Take the locks of a writer that changes these projects, in the order that all keep, and
-- give the names of those that are there: what was removed meanwhile cannot be locked.
CREATE FUNCTION lock_projects(names text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7091);
    RETURN QUERY
    SELECT project FROM projects WHERE project = ANY (names) ORDER BY project FOR NO KEY UPDATE;
END $$;

-- Make jobs agree with `coverage` for these releases. The only writer of jobs' membership.
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

-- Jobs of all projects follow a change of the targets, in batches that do not hold others up.
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

-- Pages that no longer say what is true.
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

-- A yank or another Requires-Python shows on pages of projects that have files.
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

-- Wake dispatch when something can be claimed.
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
