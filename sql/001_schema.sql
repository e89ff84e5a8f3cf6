-- The schema: tables first, then the views, functions and triggers that keep them consistent.
--
-- Keys are natural: normalized project names (PEP 503), canonical versions (PEP 440), targets
-- like cp313-trixie-aarch64. SQL never parses a tag or a specifier: requires_python_targets and
-- compatible_targets hold what the `packaging` library computed.
--
-- Lock order of every writer: the targets (advisory, shared), projects by name, other rows, jobs.
-- lock_projects() takes the first two.

-- === Configuration that outlives the process, and the audit log ===

-- What does the master remember across restarts? ("paused", "quarantine/NAME", ...)
CREATE TABLE key_values (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- Who did what, and what did the farm do by itself? (`piw events`)
CREATE TABLE events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    who      text NOT NULL,             -- an operator, or a part of the master
    text     text NOT NULL,             -- what was done or observed, as a phrase
    subject  text NOT NULL DEFAULT '',  -- the project, release, target or builder
    outcome  text NOT NULL DEFAULT ''   -- of a command: "applied", or "rejected: why"
);

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

-- Which master may write? Only the one with this epoch: an advisory lock is local to one server, so
-- after a failover the previous master can still hold connections to the new server.
CREATE TABLE master_epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch  bigint NOT NULL  -- a counter in the upper bits, a random number in the lower 24
);

INSERT INTO master_epoch (epoch) VALUES (0);

-- === Targets and compatibility ===

-- What are wheels built for?
CREATE TABLE targets (
    target         text PRIMARY KEY,
    sort_order     integer NOT NULL,  -- numeric: cp39 before cp311
    python         text NOT NULL,
    python_full    text NOT NULL,
    implementation text NOT NULL,
    abi            text NOT NULL,
    arch           text NOT NULL,
    os             text NOT NULL,
    glibc          text NOT NULL,
    skip_reason    text,                           -- NULL: wheels are built for it
    jobs_outdated  boolean NOT NULL DEFAULT true,  -- recompute_all_jobs() has yet to run
    has_builder    boolean NOT NULL DEFAULT true,  -- within the last day that the master ran
    has_compiler   boolean NOT NULL DEFAULT false  -- one of those builders had a C compiler
);

-- How long has the master run without a builder for a target, and without one that has a C compiler?
-- Separate from targets, because recompute_all_jobs() detects changes by the rows there.
CREATE TABLE target_absences (
    target             text PRIMARY KEY REFERENCES targets ON DELETE CASCADE,
    without_builder_s  double precision NOT NULL DEFAULT 0,
    without_compiler_s double precision NOT NULL DEFAULT 0
);

-- Which Requires-Python specifiers have been evaluated?
CREATE TABLE requires_python_specifiers (
    requires_python text PRIMARY KEY
);

-- Which targets' interpreters does a specifier allow?
CREATE TABLE requires_python_targets (
    requires_python text NOT NULL REFERENCES requires_python_specifiers ON DELETE CASCADE,
    target          text NOT NULL REFERENCES targets ON DELETE CASCADE,
    PRIMARY KEY (requires_python, target)
);

-- Which combinations of compressed tags and required glibc do the farm's wheels have?
CREATE TABLE wheel_compatibilities (
    compatibility_id text PRIMARY KEY,
    tags             text NOT NULL,
    glibc            text NOT NULL,
    targets_computed boolean NOT NULL DEFAULT false
);

-- On which targets do installers accept such a wheel? They choose the lowest tag_rank: the place of
-- its best tag in the target's own list (packaging.tags; 0 is the most specific), NULL until the
-- master has computed it. is_loadable is false where the ELF files need a newer glibc than the
-- target has, which installers do not check for linux_<arch> tags.
CREATE TABLE compatible_targets (
    compatibility_id text NOT NULL REFERENCES wheel_compatibilities ON DELETE CASCADE,
    target           text NOT NULL REFERENCES targets ON DELETE CASCADE,
    tag_rank         integer,
    is_loadable      boolean NOT NULL DEFAULT true,
    PRIMARY KEY (compatibility_id, target)
);

-- === Projects and releases ===

-- Which projects does the farm have, and what did the last check of their upstream page find?
CREATE TABLE projects (
    project            text PRIMARY KEY,
    display_name       text NOT NULL,
    added_at           timestamptz NOT NULL DEFAULT now(),
    follow_since       timestamptz,        -- releases newer than this are added; NULL: none are
    existing_versions  text[],             -- upstream had them before; NULL: not checked yet
    status             text NOT NULL DEFAULT 'active'
                       CHECK (status IN ('active', 'archived', 'quarantined', 'deprecated')),
    status_reason      text NOT NULL DEFAULT '',
    skip_reason        text,
    upstream_wheel_policy text             -- its own; NULL: that of the farm (upstream.wheels)
                       CHECK (upstream_wheel_policy IN ('build', 'missing', 'mirror')),
    is_named           boolean NOT NULL DEFAULT false,  -- by an operator
    is_popular         boolean NOT NULL DEFAULT false,  -- one of those that are downloaded most
    is_pure            boolean NOT NULL DEFAULT false,  -- its last wheel had no compiled code
    min_memory_bytes   bigint NOT NULL DEFAULT 0,       -- of its builds: by its recipe, or learned
    min_disk_bytes     bigint NOT NULL DEFAULT 0,       -- that its builds write, learned
    expected_build_s   double precision NOT NULL DEFAULT 0,  -- learned; 0: unknown
    is_long            boolean GENERATED ALWAYS AS (expected_build_s >= 1200) STORED,  -- LONG_BUILD_S
    next_poll_at       timestamptz NOT NULL DEFAULT now(),
    page_serial        bigint,             -- the highest that a page had
    etag               text NOT NULL DEFAULT '',
    last_modified      text NOT NULL DEFAULT '',  -- the HTTP header
    checked_at         timestamptz,
    check_result       text NOT NULL DEFAULT ''
                       CHECK (check_result IN (
                           '', 'current', 'older', 'absent', 'empty', 'unusable', 'fault')),
    check_result_count integer NOT NULL DEFAULT 0,  -- consecutive checks with this result
    check_problem      text NOT NULL DEFAULT ''
);

-- Which projects are due for polling?
CREATE INDEX projects_next_poll ON projects (next_poll_at) WHERE follow_since IS NOT NULL;

-- Which are downloaded most?
CREATE INDEX projects_popular ON projects (project) WHERE is_popular;

-- Which other names lead to a project?
CREATE TABLE project_aliases (
    alias      text PRIMARY KEY,
    project    text NOT NULL REFERENCES projects ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX project_aliases_project ON project_aliases (project);

-- Which releases of a project does the farm have, and from which sdist are they built?
CREATE TABLE releases (
    project                   text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version                   text NOT NULL,
    released_at               timestamptz NOT NULL,
    requires_python           text NOT NULL REFERENCES requires_python_specifiers,
    yanked                    text,         -- PEP 592: NULL is not yanked, '' is without a reason
    skip_reason               text,
    missing_since             timestamptz,  -- upstream no longer lists it; it is hidden
    removed_at                timestamptz,  -- its removal upstream was confirmed
    sdist_filename            text,
    sdist_url                 text,
    sdist_sha256              text,
    sdist_size                bigint,
    sdist_digest              text,         -- "md5=<hex>", if upstream has no sha256
    sdist_replaced_at         timestamptz,  -- another file was last found under the same name
    sdist_replaced_build_id   bigint,       -- builds with lower numbers used an earlier sdist
    PRIMARY KEY (project, version)
);

-- Which releases are hidden?
CREATE INDEX releases_missing ON releases (project, version) WHERE missing_since IS NOT NULL;

-- Which releases of a project are not built for a target? (version '': all of them)
CREATE TABLE target_skips (
    project text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version text NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    reason  text NOT NULL,
    PRIMARY KEY (project, target, version)
);

-- Which changes did upstream's changelog report that no page shows yet? One row per project.
CREATE TABLE upstream_changes (
    project               text PRIMARY KEY,
    serial                bigint NOT NULL,   -- of the newest event
    action                text NOT NULL,     -- as the changelog calls it
    removed_versions      text[] NOT NULL,   -- '' for the project as a whole
    project_removed       boolean NOT NULL,  -- by the newest event
    first_seen_at         timestamptz NOT NULL DEFAULT now(),
    next_check_at         timestamptz NOT NULL DEFAULT now(),
    checks                integer NOT NULL DEFAULT 0,
    checks_without_serial integer NOT NULL DEFAULT 0,  -- the pages carried no serial
    problem               text NOT NULL DEFAULT ''
);

CREATE INDEX upstream_changes_next_check ON upstream_changes (next_check_at);

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

-- What did a project's upstream page say when it was last read?
CREATE TABLE upstream_pages (
    project          text PRIMARY KEY REFERENCES projects ON DELETE CASCADE,
    newest_version   text,              -- the newest that is not yanked; NULL: there is none
    newest_at        timestamptz,       -- its upload time; NULL: unknown
    newest_has_sdist boolean NOT NULL,
    problem_count    integer NOT NULL,  -- invalid entries
    problems         text[] NOT NULL    -- the first of them, one line each
);

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

-- === Builds, files and the queue ===

CREATE SEQUENCE build_ids;

-- What was built, where, and with which result?
--
-- ignored_by_policy: after a retry command or a replaced sdist, the failure does not count for the
-- retry policy any more. evidence: what was measured (model.FailureEvidence). without_compiler: the builder
-- had no C compiler and the sdist has sources for one; its result, a wheel or a failure, holds
-- until a builder with a compiler serves the target.
CREATE TABLE builds (
    build_id         bigint PRIMARY KEY,
    project          text NOT NULL,
    version          text NOT NULL,
    target           text NOT NULL REFERENCES targets ON DELETE CASCADE,
    builder          text NOT NULL,
    outcome          text NOT NULL CHECK (outcome IN (
                         'built', 'failed', 'refused', 'timed-out', 'out-of-memory', 'disk-full',
                         'fetch-failed', 'bad-sdist', 'lost', 'canceled', 'builder-failed')),
    will_retry       boolean NOT NULL,
    reason           text NOT NULL,
    started_at       timestamptz NOT NULL,
    ended_at         timestamptz NOT NULL DEFAULT now(),
    duration_s       double precision NOT NULL,
    attempt          integer NOT NULL,
    build_inputs     text[] NOT NULL,  -- what the index proxy served
    phases           jsonb NOT NULL DEFAULT '[]',  -- with their durations; empty: not known
    without_compiler boolean NOT NULL DEFAULT false,
    failure_class    text NOT NULL DEFAULT '' CHECK (failure_class IN (
                         '', 'unknown', 'missing-package', 'missing-toolchain', 'compiler-error',
                         'python-too-new', 'tools-too-new', 'build-requirement',
                         'undeclared-requirement', 'needs-network', 'tests-in-build', 'refused',
                         'metadata', 'bad-sdist', 'wrong-name', 'wrong-version', 'no-wheel',
                         'several-wheels', 'empty-wheel', 'rejected', 'limit', 'timed-out',
                         'out-of-memory', 'disk-full', 'killed', 'crashed', 'index-fault',
                         'file-gone', 'damaged-download', 'builder-fault', 'master-fault',
                         'lost', 'canceled')),
    evidence         jsonb NOT NULL DEFAULT '{}',
    ignored_by_policy    boolean NOT NULL DEFAULT false,
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
);

-- Which builds does a release have?
CREATE INDEX builds_release ON builds (project, version, target);
-- Which builds ended last, and which of made_builds?
CREATE INDEX builds_ended ON builds (ended_at);
CREATE INDEX builds_made ON builds (ended_at) WHERE builder <> 'mirror';
-- Which builds failed last?
CREATE INDEX builds_failed ON builds (ended_at) WHERE outcome <> 'built';
-- Which builds took long?
CREATE INDEX builds_duration ON builds (duration_s);

-- Which content does a file name belong to? It stays reserved when its file is deleted.
CREATE TABLE reserved_filenames (
    filename text PRIMARY KEY,
    sha256   text NOT NULL
);

-- Which wheels are published?
CREATE TABLE files (
    filename          text PRIMARY KEY REFERENCES reserved_filenames,
    sha256            text NOT NULL,
    size_bytes        bigint NOT NULL,
    metadata_sha256   text NOT NULL,
    compatibility_id  text NOT NULL REFERENCES wheel_compatibilities,
    build_tag         integer NOT NULL DEFAULT 0,  -- PEP 427; the highest wins among equal tags
    requires_python   text NOT NULL,
    debian_packages   text[] NOT NULL,  -- that provide the shared libraries it needs
    has_provenance    boolean NOT NULL DEFAULT false,  -- a signed statement is beside it
    project           text NOT NULL,
    version           text NOT NULL,
    build_id          bigint NOT NULL REFERENCES builds ON DELETE CASCADE,
    rebuild_requested boolean NOT NULL DEFAULT false,  -- it stays published until then
    published_at      timestamptz NOT NULL DEFAULT now(),
    mirrored_from     text,         -- the file on the upstream index; NULL: it was made elsewhere
    uploaded_at       timestamptz,  -- of a mirrored wheel, to the upstream; NULL: as its release
    yanked            text,         -- of a mirrored wheel: PEP 592, as in releases
    missing_since     timestamptz,  -- of a mirrored wheel: upstream no longer lists it; it is hidden
    attestations_url  text NOT NULL DEFAULT '',  -- of a mirrored wheel (PEP 740)
    FOREIGN KEY (project, version) REFERENCES releases ON DELETE CASCADE
);

-- Which wheels of a project are mirrored?
CREATE INDEX files_mirrored ON files (project) WHERE mirrored_from IS NOT NULL;
CREATE INDEX files_release ON files (project, version);
CREATE INDEX files_build ON files (build_id);
-- Which wheels have no statement of how they were built?
CREATE INDEX files_unstated ON files (filename) WHERE NOT has_provenance;
-- Which files are in a part of the web root? (`piw audit`)
CREATE INDEX files_hash_prefix ON files (left(sha256, 2));

-- Which files in the web root are not, or not yet, in the index?
--
-- A file is inserted here with `installing` before it is moved into the web root, and its row is
-- deleted when it is published; nothing deletes the file meanwhile. Rows of builds whose results came
-- too late are released then, those that a crash left behind at the next start of the master
-- (db/file_deletions.py).
CREATE TABLE file_deletions (
    filename   text PRIMARY KEY,
    sha256     text NOT NULL,
    project    text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now(),  -- from the index; the deletion delay counts from it
    installing boolean NOT NULL DEFAULT false
);

-- What is to be built? The view wanted_jobs, materialized, with what scheduling needs.
--
-- priority_class is as in model.JobPriority. retry_delay bounds the wait until retry_at, whatever happens to the clock. hold_reason: a person
-- has to decide. avoid_builder to awaited_project are as in model.RetryDecision. parked: no builder
-- has the required packages or can add them. last_build_id and last_builder: whose result would still
-- be accepted, as long as nobody else claims the job. needs_hash: a builder may take all jobs with the
-- same one, or none.
CREATE TABLE jobs (
    project         text NOT NULL,
    version         text NOT NULL,
    target          text NOT NULL REFERENCES targets ON DELETE CASCADE,
    queued_at       timestamptz NOT NULL DEFAULT now(),
    priority_class  smallint NOT NULL DEFAULT 3 CHECK (priority_class BETWEEN 0 AND 3),
    priority_time   timestamptz NOT NULL DEFAULT now(),  -- queued_at, less what it was moved ahead
    attempts        integer NOT NULL DEFAULT 0,
    retry_at        timestamptz,
    retry_delay     interval,
    hold_reason     text,
    avoid_builder   text NOT NULL DEFAULT '',
    memory_over_bytes bigint NOT NULL DEFAULT 0,
    min_timeout_s   double precision NOT NULL DEFAULT 0,
    min_speed       double precision NOT NULL DEFAULT 0,
    required_packages text[] NOT NULL DEFAULT '{}',
    awaited_project text NOT NULL DEFAULT '',
    parked          boolean NOT NULL DEFAULT false,
    is_pure         boolean NOT NULL DEFAULT false,  -- as its project
    is_long         boolean NOT NULL DEFAULT false,  -- as its project
    min_disk_bytes  bigint NOT NULL DEFAULT 0,       -- as its project
    claimed_by      text,
    claimed_at      timestamptz,
    build_id        bigint,
    last_build_id   bigint,
    last_builder    text,
    needs_hash      bigint GENERATED ALWAYS AS (hash_record_extended(ROW(
        attempts = 0, avoid_builder, memory_over_bytes, min_disk_bytes, min_speed,
        required_packages, is_long, is_pure), 0)) STORED,
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

-- Which job of a target is next?
CREATE INDEX jobs_claimable ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked;
-- And which that needs no compiler?
CREATE INDEX jobs_claimable_pure ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND is_pure;
-- And which that is short, or long?
CREATE INDEX jobs_claimable_short ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND NOT is_long;
CREATE INDEX jobs_claimable_long ON jobs (target, priority_class, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND is_long;
-- And of those that need the same of a builder?
CREATE INDEX jobs_claimable_by_needs ON jobs (target, priority_class, needs_hash, priority_time)
 WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked AND hold_reason IS NULL;
-- Which jobs wait for a retry?
CREATE INDEX jobs_deferred ON jobs (retry_at) WHERE retry_at IS NOT NULL;
-- Which jobs need packages, and which wait for a project?
CREATE INDEX jobs_requiring_packages ON jobs (target) WHERE required_packages <> '{}';
CREATE INDEX jobs_awaiting_project ON jobs (awaited_project) WHERE awaited_project <> '';
-- Which job does a builder have?
CREATE INDEX jobs_claimed ON jobs (claimed_by) WHERE claimed_by IS NOT NULL;

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

-- How long was the queue, every few minutes?
CREATE TABLE queue_length_samples (
    at      timestamptz NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    pending integer NOT NULL,  -- claimable now or later, not claimed
    claimed integer NOT NULL,
    PRIMARY KEY (at, target)
);

-- === Pages to write ===

-- Which pages became outdated? An append-only list: a writer that updated one row per page would
-- wait for all others that do, and could deadlock with a claim, which locks no project.
CREATE TABLE page_invalidations (
    page_kind      text NOT NULL CHECK (page_kind IN (
                       'simple', 'project', 'projects', 'alias', 'home', 'stats', 'search',
                       'sitemaps', 'failures', 'static')),
    page_key       text NOT NULL,  -- the project or alias; '' where the kind has one page
    urgent         boolean NOT NULL DEFAULT false,
    invalidated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.5,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX page_invalidations_page ON page_invalidations (page_kind, page_key);
CREATE INDEX page_invalidations_urgent ON page_invalidations (page_kind) WHERE urgent;

CREATE SEQUENCE page_generations;

-- Which pages are to be written, each once? A page that becomes outdated again while it is written
-- has another generation, and so is not lost. A written page keeps its row for a while: it is not
-- written again before the interval of its kind has passed.
CREATE TABLE page_queue (
    page_kind   text NOT NULL CHECK (page_kind IN (
                    'simple', 'project', 'projects', 'alias', 'home', 'stats', 'search',
                    'sitemaps', 'failures', 'static')),
    page_key    text NOT NULL,
    generation  bigint NOT NULL DEFAULT nextval('page_generations'),
    urgent      boolean NOT NULL DEFAULT false,
    dirty       boolean NOT NULL DEFAULT true,
    dirty_since timestamptz NOT NULL DEFAULT now(),
    written_at  timestamptz,
    failures    integer NOT NULL DEFAULT 0,
    retry_at    timestamptz,  -- after a failure
    PRIMARY KEY (page_kind, page_key)
);

CREATE INDEX page_queue_order ON page_queue (page_kind, urgent DESC, dirty_since) WHERE dirty;

-- Of which data were the pages of a project written last (db.page_digests)? There is no row while
-- they are written, so that a crash leaves none that is wrong.
CREATE TABLE page_digests (
    project text PRIMARY KEY,
    digest  text NOT NULL
);

-- === Object storage ===

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

-- === Counts ===

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

-- === Access logs and downloads ===
--
-- Raw rows for some months, totals permanently, and how far each log was read, so that nothing is
-- counted twice. Wheels and user agents are keyed by the first eight bytes of a hash of what they
-- are, so that a reader needs no answer from here before it writes. Days and months are in UTC.

-- One row per request, in monthly partitions; dropped after [accesslog] retention_months.
CREATE TABLE access_records (
    at           timestamptz NOT NULL,
    client_hash  bigint,             -- keyed hash of the address; NULL: the day's key is deleted
    agent_id     bigint NOT NULL,
    wheel_id     bigint,             -- of a download
    bytes        bigint NOT NULL,
    request_kind smallint NOT NULL,  -- accesslog.classify.RequestKind
    status       smallint NOT NULL
) PARTITION BY RANGE (at);

-- Which files have accesses that were moved out of access_records? A file that is not listed does
-- not count.
CREATE TABLE exported_accesses (
    file        text PRIMARY KEY,          -- relative to [accesslog] parquet_dir, or s3://BUCKET/KEY
    day         date NOT NULL,
    accesses    bigint NOT NULL,
    downloads   bigint NOT NULL,
    bytes       bigint NOT NULL,           -- of all accesses
    -- Was it found by an export, as after a restore? Accesses that are read later may be in it.
    adopted     boolean NOT NULL DEFAULT false,
    exported_at timestamptz NOT NULL DEFAULT now()
);

-- Which wheels were downloaded? Deleted ones are kept.
CREATE TABLE downloaded_wheels (
    wheel_id bigint PRIMARY KEY,
    filename text NOT NULL,
    project  text NOT NULL,
    saved_s  double precision  -- build time that one download saves; NULL: no known build
);

CREATE INDEX downloaded_wheels_project ON downloaded_wheels (project);

-- What do clients say in User-Agent? '' where they say nothing.
CREATE TABLE user_agents (
    agent_id          bigint PRIMARY KEY,
    client_type       text NOT NULL,  -- installer, browser, bot, mirror, tool, other
    installer         text NOT NULL,
    installer_version text NOT NULL,
    arch              text NOT NULL,
    os                text NOT NULL,
    os_release        text NOT NULL,
    python            text NOT NULL
);

-- How many downloads per day? Where a day was both counted here and imported, the larger number
-- counts: the same download must not count twice.
CREATE TABLE downloads_daily (
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
    clients          bigint NOT NULL DEFAULT 0,  -- distinct addresses, of any kind of request
    index_hits       bigint NOT NULL DEFAULT 0,
    project_pages    bigint NOT NULL DEFAULT 0,
    json_pages       bigint NOT NULL DEFAULT 0,
    log_pages        bigint NOT NULL DEFAULT 0,
    others           bigint NOT NULL DEFAULT 0   -- all other requests, including rejected ones
);

-- How many downloads per day by arch, os, python and installer? ('': unknown)
CREATE TABLE downloads_daily_by_dimension (
    day       date NOT NULL,
    dimension text NOT NULL CHECK (dimension IN ('arch', 'os', 'python', 'installer')),
    value     text NOT NULL,
    downloads bigint NOT NULL,
    PRIMARY KEY (dimension, day, value)
);

-- How many downloads per project and day? One row per month; days[25] is the 25th, and the array
-- begins and ends with the first and last day that has downloads. A row per day would take five
-- times the space.
CREATE TABLE downloads_monthly_by_project (
    month     date NOT NULL,  -- its first day
    project   text NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, project)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- The rows of a month are stored together: a few kilobytes avoid a scan of the whole table.
CREATE INDEX downloads_monthly_by_project_months ON downloads_monthly_by_project
 USING brin (month) WITH (pages_per_range = 32, autosummarize = on);

-- The same per wheel.
CREATE TABLE downloads_monthly_by_wheel (
    month     date NOT NULL,
    wheel_id  bigint NOT NULL,
    downloads integer NOT NULL,
    days      integer[] NOT NULL,
    PRIMARY KEY (month, wheel_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- How many downloads does a project have in total?
CREATE TABLE downloads_by_project (
    project   text PRIMARY KEY,
    downloads bigint NOT NULL,
    saved_s   double precision NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- How many downloads per second in the last hour? (for the console)
CREATE TABLE downloads_recent_seconds (
    second    timestamptz PRIMARY KEY,
    downloads integer NOT NULL
);

-- Which processes are reading a log now?
CREATE TABLE active_log_readers (
    reader  text PRIMARY KEY,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- With which key are a day's addresses hashed? NULL: deleted, because the day is over.
CREATE TABLE daily_address_keys (
    day     date PRIMARY KEY,
    key     bytea,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Which address hashes were seen on a day? Deleted with the day's key; the count stays.
CREATE TABLE daily_client_hashes (
    day         date NOT NULL,
    client_hash bigint NOT NULL,
    PRIMARY KEY (day, client_hash)
);

-- How far was each log read? A log is identified by its content: the hash of its first line, and a
-- hash chain at checkpoints. A copy, a compressed copy and a rotated file are the same log.
CREATE TABLE ingested_logs (
    log_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    first_line     bytea NOT NULL,
    ordinal        integer NOT NULL,  -- among logs with the same first line
    position       bigint NOT NULL,   -- bytes, uncompressed, to the end of the last line read
    digest         bytea NOT NULL,    -- of the chain at that position
    lines          bigint NOT NULL,
    rejected_lines bigint NOT NULL,
    name           text NOT NULL,     -- the file that it was last read from
    read_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (first_line, ordinal)
);

CREATE TABLE ingested_log_checkpoints (
    log_id   bigint NOT NULL REFERENCES ingested_logs ON DELETE CASCADE,
    position bigint NOT NULL,
    digest   bytea NOT NULL,
    PRIMARY KEY (log_id, position)
);

-- Which lines were counted? Parts of a log that were cut out, merged or reformatted are recognized
-- by these: four bytes per line, little-endian, of a hash of all but its address.
CREATE TABLE line_fingerprints (
    minute       integer NOT NULL,  -- since 1970, in which the lines were logged
    fingerprints bytea NOT NULL,
    uncompacted  boolean NOT NULL DEFAULT true  -- as committed, one row per commit
);

-- Hashes do not compress.
ALTER TABLE line_fingerprints ALTER COLUMN fingerprints SET STORAGE EXTERNAL;

CREATE INDEX line_fingerprints_minute ON line_fingerprints (minute);
CREATE INDEX line_fingerprints_uncompacted ON line_fingerprints (minute) WHERE uncompacted;

-- Of which days were fingerprints deleted? Their lines cannot be recognized any more.
CREATE TABLE pruned_fingerprint_days (
    day date PRIMARY KEY
);

-- === Views, functions and triggers ===
-- (the conversion of an older schema runs everything from here on)

-- Which builds made something here? All but those that wheels of the upstream are recorded with
-- (model.MIRROR_MAKER): what counts or lists builds reads these. An imported wheel counts as built.
CREATE VIEW made_builds AS
SELECT build_id, project, version, target, builder, outcome, will_retry, reason, started_at, ended_at,
       duration_s, attempt, build_inputs, phases, without_compiler, failure_class, evidence,
       ignored_by_policy
  FROM builds
 WHERE builder <> 'mirror';

-- Which wheels do pages list? Not those of a release that upstream lists no more, nor mirrored ones
-- that upstream took back.
CREATE VIEW listed_files AS
SELECT f.project, f.version, f.filename, f.sha256, f.size_bytes, f.metadata_sha256, f.compatibility_id,
       f.requires_python, f.debian_packages, f.build_id, f.rebuild_requested, f.published_at,
       f.uploaded_at, f.yanked, f.has_provenance, f.mirrored_from, f.attestations_url
  FROM files f
 WHERE f.missing_since IS NULL
   AND NOT EXISTS (
       SELECT FROM releases r
        WHERE r.project = f.project AND r.version = f.version AND r.missing_since IS NOT NULL);

-- Which wheels do installers accept where, by tags and by the wheel's own Requires-Python? A
-- specifier that the master has not evaluated yet excludes no interpreter. Mirrored wheels that
-- upstream yanked or took back do not count.
CREATE VIEW installable_files AS
SELECT f.project, f.version, ct.target, f.filename, ct.tag_rank, f.build_tag, ct.is_loadable,
       f.rebuild_requested, f.build_id, b.target AS built_for, b.ended_at, b.without_compiler,
       f.mirrored_from IS NOT NULL AS is_mirrored
  FROM files f
  JOIN builds b ON b.build_id = f.build_id
  JOIN compatible_targets ct ON ct.compatibility_id = f.compatibility_id
 WHERE f.missing_since IS NULL
   AND f.yanked IS NULL
   AND (EXISTS (
            SELECT FROM requires_python_targets rt
             WHERE rt.requires_python = f.requires_python AND rt.target = ct.target
        )
        OR NOT EXISTS (
            SELECT FROM requires_python_specifiers s WHERE s.requires_python = f.requires_python));

-- Which files make a build for a target unnecessary? Those that load there, and that are not to be
-- rebuilt.
--
-- A file does not count where installers prefer one that does not load. That one was built for
-- another system; a build for the target itself that ended later counts anyway, or the target would
-- be built again and again.
CREATE VIEW covering_files AS
SELECT i.project, i.version, i.target, i.filename, i.tag_rank, i.build_tag, i.build_id,
       i.without_compiler, i.is_mirrored
  FROM installable_files i
  JOIN targets t ON t.target = i.target
 WHERE i.is_loadable
   AND NOT i.rebuild_requested
   AND NOT (i.without_compiler AND t.has_compiler)
   AND NOT EXISTS (
       SELECT FROM installable_files other
        WHERE other.project = i.project AND other.version = i.version
          AND other.target = i.target
          AND NOT other.is_loadable
          AND (other.tag_rank, -other.build_tag) < (i.tag_rank, -i.build_tag)
          AND NOT (i.built_for = i.target AND i.ended_at > other.ended_at)
   );

-- Which wheels of upstream do installers take from there, so that none is built here? Of one that is
-- mirrored here, the ELF files were read: it does not count where these do not load.
CREATE VIEW covering_upstream_wheels AS
SELECT w.project, w.version, ct.target, w.filename, ct.tag_rank
  FROM upstream_wheels w
  JOIN compatible_targets ct ON ct.compatibility_id = w.compatibility_id
  JOIN requires_python_targets rt
    ON rt.requires_python = w.requires_python AND rt.target = ct.target
 WHERE ct.is_loadable
   AND NOT EXISTS (
       SELECT FROM files f
         JOIN compatible_targets own
           ON own.compatibility_id = f.compatibility_id AND own.target = ct.target
        WHERE f.filename = w.filename AND f.mirrored_from IS NOT NULL AND NOT own.is_loadable);

-- What has to be built, according to the rules alone?
--
-- A target of a release is open while no file covers it, no wheel of upstream that counts does, and
-- no final failure ended it. Open targets
-- with a failure that is retried are wanted. Of the others, a release without a wheel wants the
-- first, one with a wheel the first of each ABI and machine, oldest glibc first, because that wheel
-- also runs on newer systems. A target without a builder does not delay the next one.
--
-- What a release has at all is looked up once, so that one without files, failures and skips, as all
-- are when a database is filled, takes one probe of each table and not one for each target.
CREATE VIEW wanted_jobs AS
SELECT r.project, r.version, wanted.target
  FROM releases r
  JOIN projects p ON p.project = r.project
 CROSS JOIN LATERAL (
     SELECT coalesce(bool_or(
                f.mirrored_from IS NULL AND NOT f.rebuild_requested AND NOT b.without_compiler
            ), false) AS has_wheel,
            count(*) > 0 AS has_files,
            EXISTS (
                SELECT FROM builds failed
                 WHERE failed.project = r.project AND failed.version = r.version
                   AND failed.outcome <> 'built'
            ) AS has_failures,
            EXISTS (
                SELECT FROM upstream_wheels w
                 WHERE w.project = r.project AND w.version = r.version
            ) AS has_upstream_wheels,
            EXISTS (
                SELECT FROM target_skips s
                 WHERE s.project = r.project AND s.version IN ('', r.version)
            ) AS has_skips
       FROM files f
       JOIN builds b ON b.build_id = f.build_id
      WHERE f.project = r.project AND f.version = r.version
 ) facts
 CROSS JOIN LATERAL (
     SELECT open.target, open.tried,
            count(*) FILTER (WHERE open.has_builder AND NOT open.tried) OVER (
                PARTITION BY open.abi, open.arch
                    ORDER BY open.sort_order, open.target
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS targets_before
       FROM (
           SELECT t.target, t.sort_order, t.has_builder, failures.tried,
                  CASE WHEN facts.has_wheel THEN t.abi END AS abi,
                  CASE WHEN facts.has_wheel THEN t.arch END AS arch
             FROM requires_python_targets rt
             JOIN targets t ON t.target = rt.target
            CROSS JOIN LATERAL (
                SELECT count(*) > 0 AS tried,
                       coalesce(bool_or(NOT b.will_retry), false) AS final
                  FROM builds b
                 WHERE facts.has_failures
                   AND b.project = r.project AND b.version = r.version
                   AND b.target = t.target AND b.outcome <> 'built'
                   AND NOT (b.without_compiler AND t.has_compiler)
            ) failures
            WHERE rt.requires_python = r.requires_python
              AND t.skip_reason IS NULL
              AND NOT failures.final
              AND NOT (facts.has_files AND EXISTS (
                  SELECT FROM covering_files c
                   WHERE c.project = r.project AND c.version = r.version
                     AND c.target = t.target
              ))
              AND NOT (facts.has_upstream_wheels AND EXISTS (
                  SELECT FROM covering_upstream_wheels u
                   WHERE u.project = r.project AND u.version = r.version
                     AND u.target = t.target
              ))
              AND NOT (facts.has_skips AND EXISTS (
                  SELECT FROM target_skips s
                   WHERE s.project = r.project AND s.target = t.target
                     AND s.version IN ('', r.version)
              ))
       ) open
 ) wanted
 WHERE r.sdist_url IS NOT NULL
   AND r.skip_reason IS NULL
   AND r.missing_since IS NULL
   AND p.skip_reason IS NULL
   AND p.status <> 'quarantined'
   AND (wanted.tried OR wanted.targets_before = 0);

-- --- Jobs ---

-- Lock the projects that a transaction changes, in the order that all writers use. Returns those
-- that exist: a project that was removed meanwhile cannot be locked.
CREATE FUNCTION lock_projects(names text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7091);
    RETURN QUERY
    SELECT project FROM projects WHERE project = ANY (names) ORDER BY project FOR NO KEY UPDATE;
END $$;

-- In which class of priority is a new job of a release? The numbers are those of model.JobPriority.
CREATE FUNCTION job_priority(project projects, release releases) RETURNS smallint
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN project.is_named THEN 0
                WHEN project.is_popular THEN 1
                WHEN release.released_at > now() - interval '14 days' THEN 2
                ELSE 3 END::smallint
$$;

-- Make jobs agree with wanted_jobs for these releases; nothing else inserts or deletes jobs.
--
-- Planning takes many times as long as running, and PostgreSQL would plan again at each call,
-- because it assumes longer arrays than these two.
CREATE FUNCTION recompute_jobs(projects text[], versions text[])
RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    WITH changed AS (
        SELECT DISTINCT * FROM unnest(projects, versions) AS named (project, version)
    ), wanted AS MATERIALIZED (
        SELECT w.project, w.version, w.target
          FROM changed
          JOIN wanted_jobs w ON w.project = changed.project AND w.version = changed.version
    ), deleted AS (
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
    INSERT INTO jobs (project, version, target, priority_class, is_pure, is_long, min_disk_bytes,
                      memory_over_bytes)
    SELECT w.project, w.version, w.target, job_priority(p, r), p.is_pure, p.is_long,
           p.min_disk_bytes, greatest(p.min_memory_bytes - 1, 0)
      FROM wanted w
      JOIN projects p ON p.project = w.project
      JOIN releases r ON r.project = w.project AND r.version = w.version
     ORDER BY w.project, w.version, w.target
        ON CONFLICT DO NOTHING;
END $$;

-- Of these releases, whose jobs can differ after the change of some targets? Without a lock.
--
-- A changed target does not concern a release that is not built, or whose files, final failures or
-- skips close the target whatever its row says. Neither does one behind another target that did not
-- change and whose job waits: that one stays the first (see wanted_jobs), unless builds for the
-- changed target failed. Who changes a release itself recomputes its jobs, so that one answer is
-- enough. As the other functions: each release by indexes, in one plan.
CREATE FUNCTION affected_releases(projects text[], versions text[])
RETURNS TABLE (project text, version text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET jit = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    RETURN QUERY
    SELECT r.project, r.version
      FROM unnest(projects, versions) AS named (project, version)
      JOIN releases r ON r.project = named.project AND r.version = named.version
     WHERE r.sdist_url IS NOT NULL
       AND r.skip_reason IS NULL
       AND r.missing_since IS NULL
       AND EXISTS (
           SELECT FROM targets t
             JOIN requires_python_targets rt
               ON rt.target = t.target AND rt.requires_python = r.requires_python
            WHERE t.jobs_outdated
              AND NOT (
                  EXISTS (
                      SELECT FROM jobs j
                        JOIN targets earlier ON earlier.target = j.target
                       WHERE j.project = r.project AND j.version = r.version
                         AND j.claimed_by IS NULL
                         AND NOT earlier.jobs_outdated
                         AND earlier.has_builder
                         AND (earlier.sort_order, earlier.target) < (t.sort_order, t.target)
                         AND NOT EXISTS (
                             SELECT FROM builds b
                              WHERE b.project = r.project AND b.version = r.version
                                AND b.target IN (earlier.target, t.target)
                                AND b.outcome <> 'built'
                         )
                         AND ((earlier.abi, earlier.arch) = (t.abi, t.arch)
                              OR NOT EXISTS (
                                  SELECT FROM files f
                                   WHERE f.project = r.project AND f.version = r.version))
                  )
              )
              AND NOT EXISTS (
                  SELECT FROM covering_files c
                   WHERE c.project = r.project AND c.version = r.version
                     AND c.target = t.target AND NOT c.without_compiler
              )
              AND NOT EXISTS (
                  SELECT FROM builds b
                   WHERE b.project = r.project AND b.version = r.version
                     AND b.target = t.target AND b.outcome <> 'built'
                     AND NOT b.will_retry AND NOT b.without_compiler
              )
              AND NOT EXISTS (
                  SELECT FROM covering_upstream_wheels u
                   WHERE u.project = r.project AND u.version = r.version AND u.target = t.target
              )
              AND NOT EXISTS (
                  SELECT FROM target_skips s
                   WHERE s.project = r.project AND s.target = t.target
                     AND s.version IN ('', r.version)
              )
       );
END $$;

-- Recompute the jobs of all releases after a change of targets, in batches that do not block others:
-- results of builds, and changes of targets, wait for the locks of one. A batch follows from how long
-- the one before took, because that depends on the machine and on what else it does; a project with
-- many releases takes several. A crash can lose batches: they are computed again, because the targets
-- stay marked until the last commit, which waits for the disk.
-- A target that changes meanwhile has another xmin than at the start, and stays marked.
--
-- Most releases are not affected by a change of one target, and take no lock. When all targets are
-- marked, all releases are recomputed: the compatibility of wheels may have changed (an upgrade).
CREATE PROCEDURE recompute_all_jobs(batch integer DEFAULT 100, aim_ms double precision DEFAULT 20)
LANGUAGE plpgsql AS $$
DECLARE
    max_batch CONSTANT integer := 1000;
    searched CONSTANT integer := 2000;  -- releases at once, without locks
    some_changed boolean;
    last_project text := '';
    last_version text := '';
    projects text[];
    versions text[];
    done integer;
    part integer;
    locked text[];
    outdated text[];
    began timestamptz;
    took_ms double precision;
BEGIN
    SELECT array_agg(target || ' ' || xmin::text) INTO outdated FROM targets WHERE jobs_outdated;
    some_changed := outdated IS NOT NULL AND EXISTS (SELECT FROM targets WHERE NOT jobs_outdated);
    LOOP
        SELECT array_agg(r.project ORDER BY r.project, r.version),
               array_agg(r.version ORDER BY r.project, r.version)
          INTO projects, versions
          FROM (SELECT project, version FROM releases
                 WHERE (project, version) > (last_project, last_version)
                 ORDER BY project, version
                 LIMIT CASE WHEN some_changed THEN searched ELSE batch END) r;
        EXIT WHEN projects IS NULL;
        last_project := projects[array_upper(projects, 1)];
        last_version := versions[array_upper(versions, 1)];
        IF some_changed THEN
            SELECT array_agg(a.project ORDER BY a.project, a.version),
                   array_agg(a.version ORDER BY a.project, a.version)
              INTO projects, versions
              FROM affected_releases(projects, versions) a;
        END IF;
        COMMIT;
        done := 0;
        WHILE done < coalesce(cardinality(projects), 0) LOOP
            part := batch;
            PERFORM set_config('synchronous_commit', 'off', true);  -- of this batch
            -- One that was removed meanwhile is not locked, even if it was added again: others may
            -- be changing it, and its triggers make its jobs.
            SELECT array_agg(p.project) INTO locked
              FROM lock_projects(ARRAY(
                  SELECT DISTINCT unnest(projects[done + 1 : done + part]))) AS p (project);
            began := clock_timestamp();
            PERFORM recompute_jobs(array_agg(r.project), array_agg(r.version))
               FROM unnest(projects[done + 1 : done + part], versions[done + 1 : done + part])
                    AS named (project, version)
               JOIN releases r ON r.project = named.project AND r.version = named.version
              WHERE r.project = ANY (locked);
            took_ms := greatest(extract(epoch FROM clock_timestamp() - began) * 1000, 0.001);
            COMMIT;
            done := done + part;
            batch := least(greatest(trunc(batch * least(aim_ms / took_ms, 2)), 1), max_batch);
        END LOOP;
    END LOOP;
    UPDATE targets SET jobs_outdated = false
     WHERE jobs_outdated AND target || ' ' || xmin::text = ANY (outdated);
    COMMIT;
END $$;

-- Recompute the jobs of releases whose row, builds or files changed.
CREATE FUNCTION recompute_jobs_of_releases() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    projects text[];
    versions text[];
BEGIN
    SELECT array_agg(c.project ORDER BY c.project, c.version),
           array_agg(c.version ORDER BY c.project, c.version)
      INTO projects, versions
      FROM (SELECT DISTINCT project, version FROM changed) c;
    IF projects IS NOT NULL THEN
        PERFORM recompute_jobs(projects, versions);
    END IF;
    RETURN NULL;
END $$;

-- Recompute the jobs of projects that were skipped, quarantined, or the reverse.
CREATE FUNCTION recompute_jobs_of_projects() RETURNS trigger LANGUAGE plpgsql AS $$
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
     WHERE (before.skip_reason IS NULL) <> (after.skip_reason IS NULL)
        OR (before.status = 'quarantined') <> (after.status = 'quarantined');
    IF projects IS NOT NULL THEN
        PERFORM recompute_jobs(projects, versions);
    END IF;
    RETURN NULL;
END $$;

-- The jobs of a project change their class with it; a job that was moved ahead keeps its place.
CREATE FUNCTION set_job_priorities() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET priority_class = job_priority(NEW, r)
      FROM releases r
     WHERE jobs.project = NEW.project
       AND r.project = jobs.project AND r.version = jobs.version
       AND jobs.claimed_by IS NULL
       AND jobs.priority_time = jobs.queued_at
       AND jobs.priority_class <> job_priority(NEW, r);
    RETURN NULL;
END $$;

-- Recompute the jobs of releases that are skipped for a target, or no longer.
CREATE FUNCTION recompute_jobs_of_target_skips() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM recompute_jobs(
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

-- Jobs that wait for a project are tried again when it gets a release.
CREATE FUNCTION requeue_awaiting_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE jobs SET retry_at = NULL, retry_delay = NULL, awaited_project = ''
      FROM (SELECT DISTINCT project FROM changed) c
     -- The second condition lets the planner use the index of the few that wait.
     WHERE jobs.awaited_project = c.project AND jobs.awaited_project <> ''
       AND jobs.claimed_by IS NULL;
    RETURN NULL;
END $$;

-- Each job counts in one state: one that waits for packages is parked, whenever it is tried again.
CREATE FUNCTION job_state(
    claimed_by text, parked boolean, retry_at timestamptz, hold_reason text
) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN claimed_by IS NOT NULL THEN 'claimed'
                WHEN parked THEN 'parked'
                WHEN retry_at IS NOT NULL THEN 'deferred'
                WHEN hold_reason IS NOT NULL THEN 'held'
                ELSE 'pending' END
$$;

-- Jobs appear on the page of their project, are counted, and are announced to the scheduler when they
-- can be claimed. One function, because every claim runs it, and calling a trigger takes as long as
-- a statement in it.
CREATE FUNCTION record_job_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO page_invalidations (page_kind, page_key)
        SELECT DISTINCT 'project', project FROM before;
        INSERT INTO row_counts (table_name, category, state, number)
        SELECT 'jobs', target, job_state(claimed_by, parked, retry_at, hold_reason), -count(*)
          FROM before GROUP BY 2, 3;
        RETURN NULL;
    END IF;
    INSERT INTO page_invalidations (page_kind, page_key)
    SELECT DISTINCT 'project', project FROM after;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO row_counts (table_name, category, state, number)
        SELECT 'jobs', target, job_state(claimed_by, parked, retry_at, hold_reason), count(*)
          FROM after GROUP BY 2, 3;
    ELSE
        INSERT INTO row_counts (table_name, category, state, number)
        SELECT 'jobs', target, state, sum(change)
          FROM (
              SELECT target, job_state(claimed_by, parked, retry_at, hold_reason) AS state,
                     1 AS change FROM after
               UNION ALL
              SELECT target, job_state(claimed_by, parked, retry_at, hold_reason), -1 FROM before
          ) changed
         GROUP BY target, state HAVING sum(change) <> 0;
    END IF;
    IF EXISTS (
        SELECT FROM after WHERE claimed_by IS NULL AND retry_at IS NULL AND NOT parked
    ) THEN
        NOTIFY jobs;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER releases_inserted AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER releases_awaited AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION requeue_awaiting_jobs();
CREATE TRIGGER releases_updated AFTER UPDATE ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER builds_inserted AFTER INSERT ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER builds_updated AFTER UPDATE ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER files_inserted AFTER INSERT ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER files_updated AFTER UPDATE ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER files_deleted AFTER DELETE ON files
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER projects_updated AFTER UPDATE ON projects
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_projects();
CREATE TRIGGER projects_prioritized AFTER UPDATE OF is_named, is_popular ON projects
    FOR EACH ROW
    WHEN ((NEW.is_named, NEW.is_popular) IS DISTINCT FROM (OLD.is_named, OLD.is_popular))
    EXECUTE FUNCTION set_job_priorities();
CREATE TRIGGER upstream_wheels_inserted AFTER INSERT ON upstream_wheels
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER upstream_wheels_deleted AFTER DELETE ON upstream_wheels
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases();
CREATE TRIGGER target_skips_inserted AFTER INSERT ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_target_skips();
CREATE TRIGGER target_skips_deleted AFTER DELETE ON target_skips
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_target_skips();
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes();
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes();
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes();

-- --- Replaced sdists ---

-- What is known of a release's sdist after a check of upstream? What the page says now, if it lists
-- one; and an earlier hash, if it now gives none for the same file.
CREATE FUNCTION merge_sdist(
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
                   AND coalesce(new.sdist_sha256, new.sdist_digest) IS NULL AS unhashed) page
$$;

-- Does upstream have another file under the same name? By a hash of the same algorithm, otherwise by
-- the size. What cannot be compared counts as the same.
CREATE FUNCTION is_sdist_replaced(old releases, new releases) RETURNS boolean
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

-- Rebuild the wheels of a replaced sdist; its failures no longer count.
CREATE FUNCTION rebuild_replaced_sdist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE builds SET will_retry = true, ignored_by_policy = true
     WHERE project = NEW.project AND version = NEW.version AND outcome <> 'built'
       AND NOT (will_retry AND ignored_by_policy);
    UPDATE jobs
       SET retry_at = NULL, retry_delay = NULL, attempts = 0, hold_reason = NULL,
           avoid_builder = '', min_timeout_s = 0, min_speed = 0, required_packages = '{}',
           awaited_project = '', parked = false, memory_over_bytes = greatest((
               SELECT min_memory_bytes - 1 FROM projects p WHERE p.project = NEW.project), 0)
     WHERE project = NEW.project AND version = NEW.version AND claimed_by IS NULL
       AND (retry_at IS NOT NULL OR attempts > 0 OR hold_reason IS NOT NULL OR required_packages <> '{}');
    UPDATE files SET rebuild_requested = true
     WHERE project = NEW.project AND version = NEW.version AND NOT rebuild_requested;
    INSERT INTO events (who, text, subject, outcome)
    VALUES ('upstream', 'replaced an sdist under the same name; its wheels are rebuilt',
            NEW.project || ' ' || NEW.version, '');
    RETURN NULL;
END $$;

CREATE TRIGGER releases_replaced_sdist AFTER UPDATE OF sdist_replaced_build_id ON releases
    FOR EACH ROW
    WHEN (NEW.sdist_replaced_build_id IS DISTINCT FROM OLD.sdist_replaced_build_id)
    EXECUTE FUNCTION rebuild_replaced_sdist();

-- A build that was claimed before the replacement used the earlier sdist, whenever it ends.
CREATE FUNCTION ignore_build_of_replaced_sdist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.outcome <> 'built' AND EXISTS (
        SELECT FROM releases r
         WHERE r.project = NEW.project AND r.version = NEW.version
           AND r.sdist_replaced_build_id > NEW.build_id
    ) THEN
        NEW.will_retry := true;
        NEW.ignored_by_policy := true;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER builds_of_replaced_sdist BEFORE INSERT ON builds
    FOR EACH ROW EXECUTE FUNCTION ignore_build_of_replaced_sdist();

CREATE FUNCTION rebuild_file_of_replaced_sdist() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rebuild_requested := NEW.rebuild_requested OR EXISTS (
        SELECT FROM releases r
         WHERE r.project = NEW.project AND r.version = NEW.version
           AND r.sdist_replaced_build_id > NEW.build_id);
    RETURN NEW;
END $$;

CREATE TRIGGER files_of_replaced_sdist BEFORE INSERT OR UPDATE ON files
    FOR EACH ROW EXECUTE FUNCTION rebuild_file_of_replaced_sdist();

-- --- Pages ---

-- Have pages of a kind written again.
CREATE FUNCTION invalidate_pages(kind text, keys text[], is_urgent boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO page_invalidations (page_kind, page_key, urgent)
    SELECT kind, key, is_urgent FROM unnest(keys) AS key;
    IF kind = 'simple' OR is_urgent THEN
        NOTIFY page_queue;
    END IF;
END $$;

-- Files appear on pages, and leave the web root after the index.
CREATE FUNCTION invalidate_pages_of_files() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[];
    listing_changed boolean;
BEGIN
    SELECT array_agg(DISTINCT c.project) INTO names FROM changed c;
    IF names IS NULL THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO file_deletions (filename, sha256, project)
        SELECT c.filename, c.sha256, c.project FROM changed c
            -- One that is being installed stays: it may be published in a moment.
            ON CONFLICT (filename) DO UPDATE SET removed_at = now()
         WHERE NOT file_deletions.installing;
        SELECT bool_or(NOT EXISTS (SELECT FROM listed_files f WHERE f.project = name))
          INTO listing_changed FROM unnest(names) AS name;
    ELSE
        DELETE FROM file_deletions d USING changed c WHERE d.filename = c.filename;
        SELECT bool_or(
                   NOT EXISTS (
                       SELECT FROM listed_files f
                        WHERE f.project = name
                          AND f.filename NOT IN (SELECT c.filename FROM changed c)
                   )
               )
          INTO listing_changed FROM unnest(names) AS name;
    END IF;
    -- Whoever waits for a wheel does not wait for a backlog of pages.
    PERFORM invalidate_pages('simple', names, true);
    PERFORM invalidate_pages('project', names, true);
    IF listing_changed THEN
        PERFORM invalidate_pages('simple', ARRAY['']);
    END IF;
    RETURN NULL;
END $$;

-- A yank or a changed Requires-Python appears on index pages of projects that have files; any change
-- appears on the project's page.
CREATE FUNCTION invalidate_pages_of_releases() RETURNS trigger LANGUAGE plpgsql AS $$
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
        PERFORM invalidate_pages('project', names);
    END IF;
    IF indexed IS NOT NULL AND TG_OP = 'UPDATE' THEN
        PERFORM invalidate_pages('simple', indexed, true);
    END IF;
    RETURN NULL;
END $$;

-- Each check of upstream also updates a project's row, and appears on no page.
CREATE FUNCTION invalidate_pages_of_projects() RETURNS trigger LANGUAGE plpgsql AS $$
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
     WHERE (before.status, before.status_reason, before.display_name, before.skip_reason,
            before.upstream_wheel_policy)
           IS DISTINCT FROM
           (after.status, after.status_reason, after.display_name, after.skip_reason,
            after.upstream_wheel_policy);
    IF names IS NOT NULL THEN
        PERFORM invalidate_pages('project', names);
    END IF;
    IF indexed IS NOT NULL THEN
        PERFORM invalidate_pages('simple', indexed, true);
    END IF;
    RETURN NULL;
END $$;

-- Rows that appear only on the page of their project. A build that ended is shown first.
CREATE FUNCTION invalidate_project_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO page_invalidations (page_kind, page_key, urgent)
    SELECT DISTINCT 'project', c.project, TG_TABLE_NAME = 'builds' AND TG_OP = 'INSERT'
      FROM changed c;
    RETURN NULL;
END $$;

-- A changed target appears on every project's page.
CREATE FUNCTION invalidate_pages_of_targets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM invalidate_pages('projects', ARRAY['']);
    RETURN NULL;
END $$;

-- An alias appears on the project's page, and has a page that redirects there.
CREATE FUNCTION invalidate_pages_of_aliases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM invalidate_pages('alias', array_agg(c.alias)),
            invalidate_pages('project', array_agg(DISTINCT c.project))
       FROM changed c;
    RETURN NULL;
END $$;

-- A project's name as its authors spell it is an alias, where it can be part of a URL.
CREATE FUNCTION add_display_name_alias() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO project_aliases (alias, project)
    SELECT c.display_name, c.project
      FROM changed c
     WHERE c.display_name <> c.project
       AND c.display_name ~ '^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$'
     ORDER BY c.display_name
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER files_inserted_pages AFTER INSERT ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_files();
CREATE TRIGGER files_updated_pages AFTER UPDATE ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER files_deleted_pages AFTER DELETE ON files
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_files();
CREATE TRIGGER releases_inserted_pages AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases();
CREATE TRIGGER releases_updated_pages AFTER UPDATE ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases();
CREATE TRIGGER releases_deleted_pages AFTER DELETE ON releases
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases();
CREATE TRIGGER projects_inserted_pages AFTER INSERT ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER projects_updated_pages AFTER UPDATE ON projects
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_projects();
CREATE TRIGGER projects_deleted_pages AFTER DELETE ON projects
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER projects_inserted_aliases AFTER INSERT ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION add_display_name_alias();
CREATE TRIGGER projects_updated_aliases AFTER UPDATE ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION add_display_name_alias();
CREATE TRIGGER builds_inserted_pages AFTER INSERT ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER builds_updated_pages AFTER UPDATE ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER reproductions_updated_pages AFTER UPDATE ON reproductions
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER upstream_wheels_inserted_pages AFTER INSERT ON upstream_wheels
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER upstream_wheels_deleted_pages AFTER DELETE ON upstream_wheels
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER target_skips_inserted_pages AFTER INSERT ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER target_skips_updated_pages AFTER UPDATE ON target_skips
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER target_skips_deleted_pages AFTER DELETE ON target_skips
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER upstream_pages_inserted AFTER INSERT ON upstream_pages
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER upstream_pages_updated AFTER UPDATE ON upstream_pages
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER project_metadata_inserted AFTER INSERT ON project_metadata
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER project_metadata_updated AFTER UPDATE ON project_metadata
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages();
CREATE TRIGGER targets_changed_pages AFTER INSERT OR UPDATE OR DELETE ON targets
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_targets();
CREATE TRIGGER project_aliases_inserted AFTER INSERT ON project_aliases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases();
CREATE TRIGGER project_aliases_updated AFTER UPDATE ON project_aliases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases();
CREATE TRIGGER project_aliases_deleted AFTER DELETE ON project_aliases
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases();

-- --- Counts ---

-- What row_counts sums up to, counted exactly.
CREATE VIEW counted_rows AS
SELECT 'projects' AS table_name, '' AS category, '' AS state, count(*) AS number,
       0::bigint AS size_bytes
  FROM projects
 UNION ALL
SELECT 'releases', '', '', count(*), 0 FROM releases
 UNION ALL
SELECT 'builds', target, outcome, count(*), 0 FROM made_builds GROUP BY target, outcome
 UNION ALL
SELECT 'files', '', '', count(*), coalesce(sum(size_bytes), 0)::bigint FROM files
 UNION ALL
SELECT 'jobs', target, job_state(claimed_by, parked, retry_at, hold_reason), count(*), 0
  FROM jobs GROUP BY 2, 3
 UNION ALL
SELECT 'page_queue', page_kind, '', count(*), 0 FROM page_queue WHERE dirty GROUP BY page_kind;

-- Where do the kept counts differ from the exact ones? Both are read as of the same moment.
CREATE VIEW row_count_errors AS
SELECT table_name, category, state,
       coalesce(kept.number, 0) AS kept, coalesce(counted.number, 0) AS counted,
       coalesce(kept.size_bytes, 0) AS kept_bytes, coalesce(counted.size_bytes, 0) AS counted_bytes
  FROM (SELECT table_name, category, state,
               sum(number)::bigint AS number, sum(size_bytes)::bigint AS size_bytes
          FROM row_counts GROUP BY table_name, category, state) kept
  FULL JOIN counted_rows counted USING (table_name, category, state)
 WHERE (coalesce(kept.number, 0), coalesce(kept.size_bytes, 0))
       <> (coalesce(counted.number, 0), coalesce(counted.size_bytes, 0));

-- Correct the kept counts; returns how many were wrong. What is written meanwhile adds its own rows.
CREATE FUNCTION correct_row_counts() RETURNS bigint LANGUAGE sql AS $$
    WITH corrected AS (
        INSERT INTO row_counts (table_name, category, state, number, size_bytes)
        SELECT table_name, category, state, counted - kept, counted_bytes - kept_bytes
          FROM row_count_errors
        RETURNING 1
    )
    SELECT count(*) FROM corrected
$$;

-- Merge the rows of each count into one; returns how many rows there were. A reader sees either the
-- rows before or the one after, and rows of transactions that are not committed stay.
CREATE FUNCTION fold_row_counts() RETURNS bigint LANGUAGE sql AS $$
    WITH taken AS (
        DELETE FROM row_counts RETURNING *
    ), folded AS (
        INSERT INTO row_counts (table_name, category, state, number, size_bytes)
        SELECT table_name, category, state, sum(number), sum(size_bytes)
          FROM taken
         GROUP BY table_name, category, state
        HAVING sum(number) <> 0 OR sum(size_bytes) <> 0
    )
    SELECT count(*) FROM taken
$$;

-- Rows were inserted into, or deleted from, a table that is counted as a whole.
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO row_counts (table_name, number)
    SELECT TG_TABLE_NAME, CASE TG_OP WHEN 'INSERT' THEN changed.rows ELSE -changed.rows END
      FROM (SELECT count(*) AS rows FROM changed) changed
     WHERE changed.rows <> 0;
    RETURN NULL;
END $$;

-- As in made_builds. The builder of a build never changes.
CREATE FUNCTION count_builds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO row_counts (table_name, category, state, number)
        SELECT 'builds', target, outcome, count(*) FROM after
         WHERE builder <> 'mirror' GROUP BY target, outcome;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO row_counts (table_name, category, state, number)
        SELECT 'builds', target, outcome, -count(*) FROM before
         WHERE builder <> 'mirror' GROUP BY target, outcome;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION count_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO row_counts (table_name, number, size_bytes)
        SELECT 'files', count(*), sum(size_bytes) FROM after HAVING count(*) > 0;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO row_counts (table_name, number, size_bytes)
        SELECT 'files', -count(*), -sum(size_bytes) FROM before HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION count_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO row_counts (table_name, category, number)
        SELECT 'page_queue', page_kind, count(*) FROM after WHERE dirty GROUP BY page_kind;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO row_counts (table_name, category, number)
        SELECT 'page_queue', page_kind, -count(*) FROM before WHERE dirty GROUP BY page_kind;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER projects_inserted_counts AFTER INSERT ON projects
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER projects_deleted_counts AFTER DELETE ON projects
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER releases_inserted_counts AFTER INSERT ON releases
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER releases_deleted_counts AFTER DELETE ON releases
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER builds_inserted_counts AFTER INSERT ON builds
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_builds();
CREATE TRIGGER builds_updated_counts AFTER UPDATE ON builds
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_builds();
CREATE TRIGGER builds_deleted_counts AFTER DELETE ON builds
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION count_builds();
CREATE TRIGGER files_inserted_counts AFTER INSERT ON files
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_files();
CREATE TRIGGER files_updated_counts AFTER UPDATE ON files
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_files();
CREATE TRIGGER files_deleted_counts AFTER DELETE ON files
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION count_files();
CREATE TRIGGER page_queue_inserted_counts AFTER INSERT ON page_queue
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_pages();
CREATE TRIGGER page_queue_updated_counts AFTER UPDATE ON page_queue
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION count_pages();
CREATE TRIGGER page_queue_deleted_counts AFTER DELETE ON page_queue
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION count_pages();

-- A conversion creates these triggers when there are rows.
SELECT correct_row_counts();

-- --- Wheels of the upstream ---

-- Wake the service that mirrors wheels (master.upstream_mirror).
CREATE FUNCTION notify_wheels_to_mirror() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed WHERE NOT refused AND next_check_at <= now()) THEN
        NOTIFY wheels_to_mirror;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER wheels_to_mirror_inserted AFTER INSERT ON wheels_to_mirror
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_wheels_to_mirror();
CREATE TRIGGER wheels_to_mirror_updated AFTER UPDATE ON wheels_to_mirror
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_wheels_to_mirror();

-- --- Object storage ---

-- Record that wheels may differ from those in the bucket, if there is one: three arrays of the same
-- length. The only place that makes rows of the kind `wheel`.
CREATE FUNCTION record_wheel_changes(projects text[], hashes text[], filenames text[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO bucket_changes (is_index, kind, project, subject)
    SELECT true, 'wheel', w.project, w.sha256 || '/' || w.filename
      FROM unnest(projects, hashes, filenames) AS w (project, sha256, filename)
     WHERE EXISTS (SELECT FROM followed_bucket)
$$;

-- Record which objects of the bucket are outdated, if there is one.
CREATE FUNCTION record_bucket_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM followed_bucket) THEN
        RETURN NULL;
    END IF;
    CASE TG_TABLE_NAME
        WHEN 'builds' THEN
            INSERT INTO bucket_changes (is_index, kind, project, subject)
            SELECT false, 'log', c.project, c.build_id FROM changed c;
        ELSE
            PERFORM record_wheel_changes(
                array_agg(c.project), array_agg(c.sha256), array_agg(c.filename))
               FROM changed c;
    END CASE;
    RETURN NULL;
END $$;

CREATE TRIGGER files_inserted_bucket AFTER INSERT ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes();
CREATE TRIGGER files_updated_bucket AFTER UPDATE ON files
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes();
CREATE TRIGGER file_deletions_deleted_bucket AFTER DELETE ON file_deletions
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes();
CREATE TRIGGER builds_inserted_bucket AFTER INSERT ON builds
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes();
CREATE TRIGGER builds_deleted_bucket AFTER DELETE ON builds
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes();

-- Record which pages were written or removed, if there is a bucket.
CREATE FUNCTION record_written_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM followed_bucket) THEN
        RETURN NULL;
    END IF;
    INSERT INTO bucket_changes (is_index, kind, project)
    SELECT page_kind = 'simple', CASE page_kind WHEN 'simple' THEN 'simple' ELSE 'project' END, page_key
      FROM after
      JOIN before USING (page_kind, page_key)
     WHERE page_kind IN ('simple', 'project', 'alias')
       AND after.written_at IS NOT NULL
       AND after.written_at IS DISTINCT FROM before.written_at;
    RETURN NULL;
END $$;

CREATE TRIGGER page_queue_updated_bucket AFTER UPDATE ON page_queue
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION record_written_pages();

-- --- Access logs ---

-- Create the partition of a time, if it does not exist.
CREATE FUNCTION create_access_partition(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', at AT TIME ZONE 'UTC')::date;
    name text := 'access_records_' || to_char(first, 'YYYY_MM');
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF access_records FOR VALUES FROM (%L) TO (%L)',
            name, first::text || ' 00:00+00', (first + interval '1 month')::date::text || ' 00:00+00'
        );
    END IF;
END $$;

-- Drop the partitions that ended before a month; returns their names.
CREATE FUNCTION drop_access_partitions(before date) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT c.relname
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'access_records'::regclass
           AND c.relname < 'access_records_' || to_char(before, 'YYYY_MM')
         ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        RETURN NEXT name;
    END LOOP;
END $$;

-- Merge the fingerprint rows of each minute before this one; each commit adds rows of its own.
CREATE FUNCTION compact_line_fingerprints(before integer) RETURNS void LANGUAGE sql AS $$
    WITH minutes AS (
        SELECT DISTINCT minute FROM line_fingerprints WHERE uncompacted AND minute < before
    ), taken AS (
        DELETE FROM line_fingerprints l USING minutes m WHERE l.minute = m.minute
     RETURNING l.minute, l.fingerprints
    )
    INSERT INTO line_fingerprints (minute, fingerprints, uncompacted)
    SELECT minute, string_agg(fingerprints, ''::bytea), false FROM taken GROUP BY minute
$$;

-- Delete the fingerprints of the days before this one, and record which days they belonged to.
CREATE FUNCTION prune_line_fingerprints(before date) RETURNS void LANGUAGE sql AS $$
    WITH deleted AS (
        DELETE FROM line_fingerprints WHERE minute < (before - date '1970-01-01') * 1440
     RETURNING minute
    )
    INSERT INTO pruned_fingerprint_days (day)
    SELECT DISTINCT date '1970-01-01' + minute / 1440 FROM deleted
        ON CONFLICT DO NOTHING
$$;

-- --- One master ---

-- Reject a statement of a master that was superseded. The lock is held until the transaction ends,
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

-- Add the check to every table that lacks it; a migration that creates a table calls this.
-- Connections that do not belong to a master have no epoch, and are not checked.
CREATE FUNCTION add_epoch_triggers() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    unchecked regclass;
BEGIN
    FOR unchecked IN
        SELECT c.oid
          FROM pg_class c
         WHERE c.relnamespace = current_schema()::regnamespace
           AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
           -- (row_counts is written by the triggers of statements that were checked)
           AND c.relname NOT IN ('master_epoch', 'schema_migrations', 'row_counts')
           AND NOT EXISTS (
               SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'epoch_checked')
    LOOP
        EXECUTE format(
            'CREATE TRIGGER epoch_checked BEFORE INSERT OR UPDATE OR DELETE ON %s '
            'FOR EACH STATEMENT WHEN (coalesce(current_setting(''piwheels.epoch'', true), '''') <> '''') '
            'EXECUTE FUNCTION check_epoch()', unchecked);
    END LOOP;
END $$;

SELECT add_epoch_triggers();
