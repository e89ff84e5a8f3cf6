-- Convert a database of the development series (schema version 11 of the old numbering) to
-- 001_schema.sql. `piw db upgrade` runs this in one transaction, and then everything below the
-- heading "Views, functions and triggers" of 001_schema.sql.

-- Triggers, functions and views are created again under their new names.
DO $$
DECLARE
    item record;
BEGIN
    DROP VIEW coverage, covering, installable;
    FOR item IN
        SELECT t.tgname AS name, t.tgrelid::regclass AS relation
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
         WHERE NOT t.tgisinternal AND t.tgparentid = 0
           AND c.relnamespace = current_schema()::regnamespace
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', item.name, item.relation);
    END LOOP;
    FOR item IN
        SELECT p.oid::regprocedure AS routine FROM pg_proc p
         WHERE p.pronamespace = current_schema()::regnamespace
           AND p.proname IN (
               'lock_projects', 'refresh_jobs', 'refresh_changed_releases',
               'refresh_changed_projects', 'refresh_skipped_releases', 'converge', 'make_stale',
               'files_change_pages', 'releases_change_pages', 'projects_change_pages',
               'change_project_pages', 'targets_change_pages', 'names_change_pages',
               'name_projects', 'notify_jobs', 'known_sdist', 'sdist_is_replaced',
               'sdist_was_replaced', 'build_of_replaced_sdist', 'file_of_replaced_sdist',
               'ensure_access_partition', 'drop_access_partitions', 'compact_access_lines',
               'prune_access_lines', 'check_epoch', 'check_epoch_everywhere')
    LOOP
        EXECUTE format('DROP ROUTINE %s', item.routine);
    END LOOP;
END $$;

DROP TABLE schema_versions;

ALTER TABLE settings RENAME TO key_values;
UPDATE key_values SET key = 'quarantine/' || substr(key, 6) WHERE starts_with(key, 'held ');
UPDATE key_values SET key = 'site/downloads_invalidated_until'
 WHERE key = 'site downloads shown until';
UPDATE key_values SET key = replace(key, '.', '/') WHERE starts_with(key, 'upstream.');

-- Which time series are there? Names are like farm/built or builder/pi1/load.
CREATE TABLE series (
    series_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text NOT NULL UNIQUE
);

-- What was measured? A row for each minute, and one for each longer interval (see model/series.py for
-- how long they are kept); what was not measured has none.
CREATE TABLE series_values (
    series_id integer NOT NULL REFERENCES series ON DELETE CASCADE,
    step_s    integer NOT NULL,      -- the length of the interval
    at        timestamptz NOT NULL,  -- when it began
    mean      real NOT NULL,         -- of its measured minutes
    maximum   real NOT NULL,
    minutes   integer NOT NULL,      -- how many of them there are
    PRIMARY KEY (series_id, step_s, at)
) WITH (fillfactor = 70);  -- rows of unfinished intervals are updated each minute

-- What do projects say about themselves, in the metadata of the newest release that has a wheel?
CREATE TABLE project_metadata (
    project     text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    version     text NOT NULL,
    name        text NOT NULL,    -- as its authors write it; '': unknown
    summary     text NOT NULL,
    license     text NOT NULL,
    link_labels text[] NOT NULL,
    link_urls   text[] NOT NULL   -- http and https, one for each label
);

-- Which projects of upstream's list of all projects has their page not been read of? Those that are
-- downloaded most come first, then those that changed last.
CREATE TABLE listed_projects (
    project       text PRIMARY KEY,
    downloads     bigint NOT NULL,   -- from this farm, when the list was read
    serial        bigint NOT NULL,   -- of its newest change; 0: the list does not tell
    next_check_at timestamptz NOT NULL DEFAULT now(),
    checks        integer NOT NULL DEFAULT 0,
    problem       text NOT NULL DEFAULT ''
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX listed_projects_order ON listed_projects (downloads DESC, serial DESC, project)
 WHERE checks = 0;

CREATE INDEX listed_projects_again ON listed_projects (next_check_at) WHERE checks > 0;

ALTER TABLE events RENAME COLUMN event TO event_id;
ALTER TABLE events RENAME COLUMN action TO text;

ALTER TABLE targets RENAME COLUMN position TO sort_order;
ALTER TABLE targets RENAME COLUMN skip TO skip_reason;
ALTER TABLE targets RENAME COLUMN converging TO jobs_outdated;
ALTER TABLE targets RENAME COLUMN served TO has_builder;
ALTER TABLE targets RENAME COLUMN equipped TO has_compiler;
ALTER TABLE target_absences RENAME COLUMN unserved_s TO without_builder_s;
ALTER TABLE target_absences RENAME COLUMN unequipped_s TO without_compiler_s;

ALTER TABLE specifiers RENAME TO requires_python_specifiers;
ALTER TABLE python_ranges RENAME TO requires_python_targets;
ALTER TABLE kinds RENAME TO wheel_compatibilities;
ALTER TABLE wheel_compatibilities RENAME COLUMN kind TO compatibility_id;
ALTER TABLE wheel_compatibilities RENAME COLUMN resolved TO targets_computed;
ALTER TABLE kind_targets RENAME TO compatible_targets;
ALTER TABLE compatible_targets RENAME COLUMN kind TO compatibility_id;
ALTER TABLE compatible_targets RENAME COLUMN preference TO tag_rank;
ALTER TABLE compatible_targets RENAME COLUMN loads TO is_loadable;

ALTER TABLE projects RENAME COLUMN display TO display_name;
ALTER TABLE projects RENAME COLUMN since TO follow_since;
ALTER TABLE projects RENAME COLUMN existing TO existing_versions;
ALTER TABLE projects RENAME COLUMN skip TO skip_reason;
ALTER TABLE projects RENAME COLUMN pure TO is_pure;
ALTER TABLE projects ADD COLUMN upstream_wheel_policy text
    CHECK (upstream_wheel_policy IN ('build', 'missing', 'mirror'));
ALTER TABLE projects ADD COLUMN min_memory_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN min_disk_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE projects ADD COLUMN expected_build_s double precision NOT NULL DEFAULT 0;
ALTER TABLE projects
    ADD COLUMN is_long boolean GENERATED ALWAYS AS (expected_build_s >= 1200) STORED;
-- Who added a project was not recorded.
ALTER TABLE projects ADD COLUMN is_named boolean NOT NULL DEFAULT true;
ALTER TABLE projects ALTER COLUMN is_named SET DEFAULT false;
ALTER TABLE projects ADD COLUMN is_popular boolean NOT NULL DEFAULT false;
CREATE INDEX projects_popular ON projects (project) WHERE is_popular;
ALTER TABLE projects RENAME COLUMN next_poll TO next_poll_at;
ALTER TABLE projects RENAME COLUMN modified TO last_modified;
ALTER TABLE projects RENAME COLUMN looked_at TO checked_at;
ALTER TABLE projects RENAME COLUMN finding TO check_result;
ALTER TABLE projects RENAME COLUMN repeats TO check_result_count;
ALTER TABLE projects RENAME COLUMN problem TO check_problem;
ALTER TABLE project_names RENAME TO project_aliases;
ALTER TABLE project_aliases RENAME COLUMN name TO alias;
ALTER TABLE project_aliases RENAME COLUMN written_at TO created_at;

ALTER TABLE releases RENAME COLUMN skip TO skip_reason;
ALTER TABLE releases RENAME COLUMN sdist_replaced_build TO sdist_replaced_build_id;

ALTER TABLE upstream_changes RENAME COLUMN removed TO removed_versions;
ALTER TABLE upstream_changes RENAME COLUMN gone TO project_removed;
ALTER TABLE upstream_changes RENAME COLUMN first_seen TO first_seen_at;
ALTER TABLE upstream_changes RENAME COLUMN next_look TO next_check_at;
ALTER TABLE upstream_changes RENAME COLUMN looks TO checks;
ALTER TABLE upstream_changes RENAME COLUMN unproven TO checks_without_serial;

ALTER SEQUENCE build_numbers RENAME TO build_ids;
ALTER TABLE builds RENAME COLUMN build TO build_id;
ALTER TABLE builds RENAME COLUMN retryable TO will_retry;
ALTER TABLE builds RENAME COLUMN inputs TO build_inputs;
ALTER TABLE builds RENAME COLUMN lacking TO without_compiler;
ALTER TABLE builds RENAME COLUMN failure TO failure_class;
ALTER TABLE builds RENAME COLUMN forgiven TO ignored_by_policy;
ALTER TABLE builds ADD COLUMN phases jsonb NOT NULL DEFAULT '[]';
CREATE INDEX builds_failed ON builds (ended_at) WHERE outcome <> 'built';
CREATE INDEX builds_made ON builds (ended_at) WHERE builder <> 'mirror';
CREATE INDEX files_hash_prefix ON files (left(sha256, 2));
UPDATE builds SET outcome = 'canceled' WHERE outcome = 'killed';
UPDATE builds SET failure_class = 'rejected' WHERE failure_class = 'refused';

ALTER TABLE filenames RENAME TO reserved_filenames;
ALTER TABLE files RENAME COLUMN kind TO compatibility_id;
ALTER TABLE files RENAME COLUMN dependencies TO debian_packages;
ALTER TABLE files RENAME COLUMN build TO build_id;
ALTER TABLE files RENAME COLUMN superseded TO rebuild_requested;
ALTER TABLE files
    ADD COLUMN has_provenance boolean NOT NULL DEFAULT false,
    ADD COLUMN mirrored_from text,
    ADD COLUMN uploaded_at timestamptz,
    ADD COLUMN yanked text,
    ADD COLUMN missing_since timestamptz,
    ADD COLUMN attestations_url text NOT NULL DEFAULT '';
CREATE INDEX files_mirrored ON files (project) WHERE mirrored_from IS NOT NULL;
CREATE INDEX files_unstated ON files (filename) WHERE NOT has_provenance;
ALTER TABLE removals RENAME TO file_deletions;
ALTER TABLE file_deletions ADD COLUMN installing boolean NOT NULL DEFAULT false;
UPDATE file_deletions SET removed_at = now(), installing = true WHERE removed_at = 'infinity';

ALTER TABLE jobs RENAME COLUMN due TO priority_time;
ALTER TABLE jobs RENAME COLUMN not_before TO retry_at;
ALTER TABLE jobs RENAME COLUMN delay TO retry_delay;
ALTER TABLE jobs RENAME COLUMN held TO hold_reason;
ALTER TABLE jobs RENAME COLUMN avoid TO avoid_builder;
ALTER TABLE jobs RENAME COLUMN memory_over TO memory_over_bytes;
ALTER TABLE jobs RENAME COLUMN limit_s TO min_timeout_s;
ALTER TABLE jobs RENAME COLUMN pure TO is_pure;
ALTER TABLE jobs ADD COLUMN is_long boolean NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN min_disk_bytes bigint NOT NULL DEFAULT 0;
ALTER TABLE jobs RENAME COLUMN build TO build_id;
ALTER TABLE jobs RENAME COLUMN last_build TO last_build_id;
ALTER TABLE jobs ADD COLUMN required_packages text[] NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN awaited_project text NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN parked boolean NOT NULL DEFAULT false;
ALTER TABLE jobs ADD COLUMN priority_class smallint NOT NULL DEFAULT 0;
ALTER TABLE jobs ALTER COLUMN priority_class SET DEFAULT 3,
    ADD CONSTRAINT jobs_priority_class_check CHECK (priority_class BETWEEN 0 AND 3);
DROP INDEX jobs_claimable, jobs_claimable_pure;
CREATE INDEX jobs_claimable ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked;
CREATE INDEX jobs_claimable_pure ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND is_pure;
CREATE INDEX jobs_claimable_short ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND NOT is_long;
CREATE INDEX jobs_claimable_long ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND is_long;
ALTER TABLE jobs ADD COLUMN needs_hash bigint GENERATED ALWAYS AS (hash_record_extended(ROW(
        attempts = 0, avoid_builder, memory_over_bytes, min_disk_bytes, min_speed,
        required_packages, is_long, is_pure), 0)) STORED;
CREATE INDEX jobs_claimable_by_needs ON jobs (target, priority_class, needs_hash, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND hold_reason IS NULL;
CREATE INDEX jobs_requiring_packages ON jobs (target) WHERE required_packages <> '{}';
CREATE INDEX jobs_awaiting_project ON jobs (awaited_project) WHERE awaited_project <> '';
ALTER TABLE queue_samples RENAME TO queue_length_samples;

-- How long builds of a project take is the mean of its last ones that succeeded.
UPDATE projects p SET expected_build_s = took.mean_s
  FROM (SELECT project, avg(duration_s) AS mean_s
          FROM (SELECT project, duration_s,
                       row_number() OVER (PARTITION BY project ORDER BY ended_at DESC) AS number
                  FROM builds WHERE outcome = 'built' AND duration_s > 0) AS built
         WHERE number <= 4
         GROUP BY project) AS took
 WHERE p.project = took.project;
UPDATE jobs SET is_long = true FROM projects p WHERE p.project = jobs.project AND p.is_long;

ALTER TABLE page_changes RENAME TO page_invalidations;
ALTER TABLE page_invalidations RENAME COLUMN part TO page_kind;
ALTER TABLE page_invalidations RENAME COLUMN name TO page_key;
ALTER TABLE page_invalidations RENAME COLUMN at TO invalidated_at;
ALTER INDEX page_changes_part RENAME TO page_invalidations_page;
ALTER TABLE stale_pages RENAME TO page_queue;
ALTER TABLE page_queue RENAME COLUMN part TO page_kind;
ALTER TABLE page_queue RENAME COLUMN name TO page_key;
ALTER TABLE page_queue RENAME COLUMN stale TO dirty;
ALTER TABLE page_queue RENAME COLUMN since TO dirty_since;

ALTER TABLE accesses RENAME TO access_records;
ALTER TABLE access_records RENAME COLUMN client TO client_hash;
ALTER TABLE access_records RENAME COLUMN agent TO agent_id;
ALTER TABLE access_records RENAME COLUMN wheel TO wheel_id;
ALTER TABLE access_records RENAME COLUMN kind TO request_kind;
ALTER TABLE wheels RENAME TO downloaded_wheels;
ALTER TABLE downloaded_wheels RENAME COLUMN wheel TO wheel_id;
ALTER TABLE agents RENAME TO user_agents;
ALTER TABLE user_agents RENAME COLUMN agent TO agent_id;
ALTER TABLE user_agents RENAME COLUMN class TO client_type;
ALTER TABLE download_days RENAME TO downloads_daily;
ALTER TABLE download_dimensions RENAME TO downloads_daily_by_dimension;
ALTER TABLE download_projects RENAME TO downloads_monthly_by_project;
ALTER TABLE download_wheels RENAME TO downloads_monthly_by_wheel;
ALTER TABLE downloads_monthly_by_wheel RENAME COLUMN wheel TO wheel_id;
ALTER TABLE download_totals RENAME TO downloads_by_project;
ALTER TABLE download_seconds RENAME TO downloads_recent_seconds;
ALTER TABLE access_readers RENAME TO active_log_readers;
ALTER TABLE access_keys RENAME TO daily_address_keys;
ALTER TABLE access_clients RENAME TO daily_client_hashes;
ALTER TABLE daily_client_hashes RENAME COLUMN client TO client_hash;
ALTER TABLE access_logs RENAME TO ingested_logs;
ALTER TABLE ingested_logs RENAME COLUMN log TO log_id;
ALTER TABLE ingested_logs RENAME COLUMN broken TO rejected_lines;
ALTER TABLE access_checkpoints RENAME TO ingested_log_checkpoints;
ALTER TABLE ingested_log_checkpoints RENAME COLUMN log TO log_id;
ALTER TABLE access_lines RENAME TO line_fingerprints;
ALTER TABLE line_fingerprints RENAME COLUMN marks TO fingerprints;
ALTER TABLE line_fingerprints RENAME COLUMN fresh TO uncompacted;
ALTER INDEX access_lines_fresh RENAME TO line_fingerprints_uncompacted;
ALTER TABLE access_days_pruned RENAME TO pruned_fingerprint_days;
ALTER INDEX upstream_changes_next_look RENAME TO upstream_changes_next_check;

ALTER SEQUENCE events_event_seq RENAME TO events_event_id_seq;
ALTER SEQUENCE access_logs_log_seq RENAME TO ingested_logs_log_id_seq;
ALTER TABLE compatible_targets
    RENAME CONSTRAINT kind_targets_kind_fkey TO compatible_targets_compatibility_id_fkey;
ALTER TABLE files RENAME CONSTRAINT files_kind_fkey TO files_compatibility_id_fkey;
ALTER TABLE files RENAME CONSTRAINT files_build_fkey TO files_build_id_fkey;
ALTER TABLE ingested_log_checkpoints
    RENAME CONSTRAINT access_checkpoints_log_fkey TO ingested_log_checkpoints_log_id_fkey;

-- Values that were free text.
ALTER TABLE builds
    ADD CONSTRAINT builds_outcome_check CHECK (outcome IN (
        'built', 'failed', 'refused', 'timed-out', 'out-of-memory', 'disk-full',
        'fetch-failed', 'bad-sdist', 'lost', 'canceled', 'builder-failed')),
    ADD CONSTRAINT builds_failure_class_check CHECK (failure_class IN (
        '', 'unknown', 'missing-package', 'missing-toolchain', 'compiler-error',
        'python-too-new', 'tools-too-new', 'build-requirement', 'undeclared-requirement',
        'needs-network', 'tests-in-build', 'refused', 'metadata', 'bad-sdist', 'wrong-name',
        'wrong-version', 'no-wheel', 'several-wheels', 'empty-wheel', 'rejected', 'limit',
        'timed-out', 'out-of-memory', 'disk-full', 'killed', 'crashed', 'index-fault',
        'file-gone', 'damaged-download', 'builder-fault', 'master-fault', 'lost', 'canceled'));
ALTER TABLE projects
    ADD CONSTRAINT projects_status_check
    CHECK (status IN ('active', 'archived', 'quarantined', 'deprecated')),
    ADD CONSTRAINT projects_check_result_check CHECK (check_result IN (
        '', 'current', 'older', 'absent', 'empty', 'unusable', 'fault'));
ALTER TABLE page_invalidations
    ADD CONSTRAINT page_invalidations_page_kind_check CHECK (page_kind IN (
        'simple', 'project', 'projects', 'alias', 'home', 'stats', 'search',
        'sitemaps', 'failures', 'static'));
ALTER TABLE page_queue
    ADD CONSTRAINT page_queue_page_kind_check CHECK (page_kind IN (
        'simple', 'project', 'projects', 'alias', 'home', 'stats', 'search',
        'sitemaps', 'failures', 'static'));
ALTER TABLE downloads_daily_by_dimension
    ADD CONSTRAINT downloads_daily_by_dimension_dimension_check
    CHECK (dimension IN ('arch', 'os', 'python', 'installer'));

-- Which wheels of upstream make builds unnecessary? Filled where the policy for the project's wheels
-- is `missing` or `mirror`; of wheels with the same compatibility and Requires-Python, one.
CREATE TABLE upstream_wheels (
    project          text NOT NULL,
    version          text NOT NULL,
    filename         text NOT NULL,
    compatibility_id text NOT NULL REFERENCES wheel_compatibilities,
    requires_python  text NOT NULL REFERENCES requires_python_specifiers,
    PRIMARY KEY (project, version, filename),
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
);

-- Which of these are to be published here as they are? Filled where the policy is `mirror`. Each is
-- looked at when next_check_at is reached: it is fetched, or it is not needed now.
CREATE TABLE wheels_to_mirror (
    project        text NOT NULL,
    version        text NOT NULL,
    filename       text NOT NULL,
    url            text NOT NULL,
    sha256         text NOT NULL,             -- '': the page gives none
    size_bytes     bigint,                    -- NULL: the page gives none
    uploaded_at    timestamptz,               -- NULL: the page gives none
    attestations_url text NOT NULL DEFAULT '',  -- PEP 740
    next_check_at  timestamptz NOT NULL DEFAULT now(),
    attempts       integer NOT NULL DEFAULT 0,
    problem        text NOT NULL DEFAULT '',  -- of the last attempt
    refused        boolean NOT NULL DEFAULT false,  -- that problem stays
    PRIMARY KEY (project, version, filename),
    FOREIGN KEY (project, version, filename) REFERENCES upstream_wheels ON DELETE CASCADE
);

CREATE INDEX wheels_to_mirror_next_check ON wheels_to_mirror (next_check_at) WHERE NOT refused;

-- Partitions, indexes, constraints and sequences carry the names of their tables and columns.
DO $$
DECLARE
    renamed CONSTANT text[][] := ARRAY[
        ['settings', 'key_values'], ['specifiers', 'requires_python_specifiers'],
        ['python_ranges', 'requires_python_targets'], ['kinds', 'wheel_compatibilities'],
        ['kind_targets', 'compatible_targets'], ['project_names', 'project_aliases'],
        ['filenames', 'reserved_filenames'], ['removals', 'file_deletions'],
        ['queue_samples', 'queue_length_samples'], ['page_changes', 'page_invalidations'],
        ['stale_pages', 'page_queue'], ['accesses', 'access_records'],
        ['wheels', 'downloaded_wheels'], ['agents', 'user_agents'],
        ['download_days', 'downloads_daily'],
        ['download_dimensions', 'downloads_daily_by_dimension'],
        ['download_projects', 'downloads_monthly_by_project'],
        ['download_wheels', 'downloads_monthly_by_wheel'],
        ['download_totals', 'downloads_by_project'],
        ['download_seconds', 'downloads_recent_seconds'],
        ['access_readers', 'active_log_readers'], ['access_keys', 'daily_address_keys'],
        ['access_clients', 'daily_client_hashes'], ['access_logs', 'ingested_logs'],
        ['access_checkpoints', 'ingested_log_checkpoints'], ['access_lines', 'line_fingerprints'],
        ['access_days_pruned', 'pruned_fingerprint_days']];
    pair text[];
    item record;
BEGIN
    FOREACH pair SLICE 1 IN ARRAY renamed LOOP
        FOR item IN
            SELECT conrelid::regclass AS relation, conname AS name,
                   pair[2] || substr(conname, length(pair[1]) + 1) AS new_name
              FROM pg_constraint
             WHERE conrelid = pair[2]::regclass AND starts_with(conname, pair[1] || '_')
        LOOP
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I',
                           item.relation, item.name, item.new_name);
        END LOOP;
        FOR item IN
            SELECT i.indexrelid::regclass AS relation,
                   pair[2] || substr(c.relname, length(pair[1]) + 1) AS new_name
              FROM pg_index i
              JOIN pg_class c ON c.oid = i.indexrelid
             WHERE i.indrelid = pair[2]::regclass AND starts_with(c.relname, pair[1] || '_')
        LOOP
            EXECUTE format('ALTER INDEX %s RENAME TO %I', item.relation, item.new_name);
        END LOOP;
    END LOOP;
    FOR item IN
        SELECT i.inhrelid::regclass AS relation,
               'access_records' || substr(c.relname, length('accesses') + 1) AS new_name
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'access_records'::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s RENAME TO %I', item.relation, item.new_name);
    END LOOP;
END $$;

-- Which files have accesses that were moved out of access_records? A file that is not listed does
-- not count.
CREATE TABLE exported_accesses (
    file        text PRIMARY KEY,          -- relative to [accesslog] parquet_dir
    day         date NOT NULL,
    accesses    bigint NOT NULL,
    downloads   bigint NOT NULL,
    bytes       bigint NOT NULL,           -- of all accesses
    adopted     boolean NOT NULL DEFAULT false,
    exported_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX page_invalidations_urgent ON page_invalidations (page_kind) WHERE urgent;

-- Which published wheels are, or were, built again to be compared? (`piw reproduce`)
--
-- result is as in model.ReproductionResult, comparison as in db.reproductions. attempts are builds
-- of which no result came. Nothing else of the farm depends on these rows, except pages.
CREATE TABLE reproductions (
    reproduction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    filename        text NOT NULL REFERENCES files ON DELETE CASCADE,
    project         text NOT NULL,
    target          text NOT NULL,             -- that the wheel was built for
    asked_by        text NOT NULL,             -- '': the farm chose it, for an idle time
    asked_at        timestamptz NOT NULL DEFAULT now(),
    claimed_by      text,                      -- the builder that builds it now
    build_id        bigint,                    -- the number of that build
    started_at      timestamptz,
    attempts        integer NOT NULL DEFAULT 0,
    ended_at        timestamptz,
    builder         text NOT NULL DEFAULT '',  -- that built it at last
    result          text NOT NULL DEFAULT 'pending' CHECK (result IN (
                        'pending', 'same', 'same-contents', 'differs', 'failed')),
    reason          text NOT NULL DEFAULT '',  -- why it failed
    comparison      jsonb NOT NULL DEFAULT '{}',
    CHECK ((result = 'pending') = (ended_at IS NULL)),
    CHECK (claimed_by IS NULL OR ended_at IS NULL)
);

-- Which are open? Of each wheel one at most.
CREATE UNIQUE INDEX reproductions_open ON reproductions (filename) WHERE ended_at IS NULL;
-- Which does a builder have?
CREATE INDEX reproductions_claimed ON reproductions (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX reproductions_file ON reproductions (filename, reproduction_id);
CREATE INDEX reproductions_project ON reproductions (project);

-- Of which data were the pages of a project written last (db.page_digests)? There is no row while
-- they are written, so that a crash leaves none that is wrong.
CREATE TABLE page_digests (
    project text PRIMARY KEY,
    digest  text NOT NULL
);
-- Another program wrote the pages that are there.
INSERT INTO key_values (key, value) VALUES ('site/renderer', '');

-- Which bucket does the follower copy the web root into (publish.target)? One row at most; without
-- one, no changes are recorded. first_copy: which part of the first copy goes on; copied_until: the
-- project up to which it is recorded in bucket_changes; copied_projects: how many these are;
-- is_comparison: it is not the first, too many changes had waited (db.bucket_changes.limit_waiting).
CREATE TABLE followed_bucket (
    is_only_row     boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    target          text NOT NULL,
    first_copy      text NOT NULL DEFAULT 'index' CHECK (first_copy IN ('index', 'site', 'done')),
    copied_until    text NOT NULL DEFAULT '',
    copied_projects bigint NOT NULL DEFAULT 0,
    is_comparison   boolean NOT NULL DEFAULT false
);

-- What may differ between the web root and the bucket? Triggers append, in the transaction that
-- records a publication; the follower makes the bucket like the web root there, then deletes the row.
CREATE TABLE bucket_changes (
    change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    is_index   boolean NOT NULL,  -- what installers read, which is copied first
    kind       text NOT NULL CHECK (kind IN ('wheel', 'simple', 'log', 'project', 'object')),
    project    text NOT NULL,  -- or an alias; '' is the list of all projects
    subject    text NOT NULL DEFAULT '',  -- hash/name of a wheel, number of a build
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at     timestamptz NOT NULL DEFAULT clock_timestamp()  -- it is not copied earlier
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX bucket_changes_order ON bucket_changes (is_index, due_at);
CREATE INDEX bucket_changes_project ON bucket_changes (project, is_index);
-- Wheels are looked for by the beginning of their subject.
CREATE INDEX bucket_changes_subject ON bucket_changes (subject COLLATE "C");

-- How many rows does a table have, by category and state? The sum of these rows: statement triggers
-- append what each statement changed, so that no writer waits for another, and fold_row_counts()
-- merges them. The view counted_rows counts the same, for checks.
CREATE TABLE row_counts (
    table_name text NOT NULL,
    category   text NOT NULL DEFAULT '',  -- the target of jobs and builds, the kind of pages
    state      text NOT NULL DEFAULT '',  -- of a job, the outcome of a build
    number     bigint NOT NULL,
    size_bytes bigint NOT NULL DEFAULT 0  -- of files
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
