-- Pages: that one no longer says what is true is noted by whoever changes that, and gathered,
-- each page once, by the duties that write pages.

-- Notes, only ever appended to. A writer that marked a page in place would wait for all others
-- that do, and a claim, which takes no lock on its project, could wait in a circle with them.
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

-- What is gathered. A page that was written keeps its row for a while: it is not written again
-- before its part's pause has passed.
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

-- Old and other names of projects, which lead to the one that they are.
CREATE TABLE project_names (
    name       text PRIMARY KEY,
    project    text NOT NULL REFERENCES projects ON DELETE CASCADE,
    written_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX project_names_project ON project_names (project);

-- How long the queue was, every few minutes, for ever.
CREATE TABLE queue_samples (
    at      timestamptz NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    pending integer NOT NULL,          -- due now or later, in nobody's hands
    claimed integer NOT NULL,
    PRIMARY KEY (at, target)
);

DROP FUNCTION make_stale(text[], boolean);

-- Note that pages of a part no longer say what is true.
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

-- A yank or another Requires-Python shows on index pages of projects that have files; on the
-- project's own page anything does.
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

-- A look at the upstream changes a project's row too, and shows nowhere.
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

-- Rows of these tables show on the page of their project.
CREATE FUNCTION change_project_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Not by make_stale(): this is in the way of every claim.
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

-- Another target, or one that is skipped or served again, shows on every project's page.
CREATE FUNCTION targets_change_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM make_stale('projects', ARRAY['']);
    RETURN NULL;
END $$;

CREATE TRIGGER targets_changed_pages AFTER INSERT OR UPDATE OR DELETE ON targets
    FOR EACH STATEMENT EXECUTE FUNCTION targets_change_pages();

-- Names of projects change the page of the project, and where the old name leads.
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

-- A project can be asked for as its authors spell it, where that can be part of an address.
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

-- What was there before has pages that were never written.
INSERT INTO page_changes (part, name) VALUES ('projects', '');
