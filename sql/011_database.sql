-- What a project's page of the upstream index said when it was last read.
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

-- sdist_digest: "md5=<hex>", the strongest hash that the upstream offers where that is no sha256.
-- sdist_replaced_at: when its sdist was last found to be another one. sdist_replaced_build: a
-- number of no build; builds with lower numbers were claimed before, and are of an earlier sdist.
ALTER TABLE releases ADD COLUMN sdist_digest text;
ALTER TABLE releases ADD COLUMN sdist_replaced_at timestamptz;
ALTER TABLE releases ADD COLUMN sdist_replaced_build bigint;

-- What is known of a release's sdist after a look at the upstream: what the page says now, if it
-- lists one; and a hash that it gave before, if it gives none of the same file now.
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

-- Whether the upstream has other bytes now under the same name: by a hash of the same algorithm,
-- or where there is none by the size. What cannot be compared counts as the same.
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

-- A replaced sdist: its wheels are to be built again, and its failures say nothing any more.
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

-- A build that was claimed before is one of the earlier sdist, whenever it ends.
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

-- One master writes: the newest. An advisory lock (db/alone.py) is of one server, so after a
-- failover the former master can still be there, with some of its connections on the new server.
-- Each start of a master raises the epoch, and what an earlier one writes from then on is refused.

CREATE TABLE master_epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch  bigint NOT NULL  -- a count in the upper bits, and chance in the lower 24
);

INSERT INTO master_epoch (epoch) VALUES (0);

-- Refuse a statement of a master whose epoch is over. The lock is held to the transaction's end,
-- and raising the epoch takes it exclusively: what was begun before is committed before.
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

-- Have every table that lacks it checked. A migration that makes a table calls this. Connections
-- that are no master's have no epoch, and are not checked.
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
