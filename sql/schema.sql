-- Tables with their indexes and triggers, and the signatures of views and functions, as PostgreSQL
-- describes them. A test checks that the migrations create exactly this. Do not edit: written by
-- `python -m tests.db.schema_dump DSN > sql/schema.sql`.

CREATE SEQUENCE bucket_changes_change_id_seq
CREATE SEQUENCE build_ids
CREATE SEQUENCE events_event_id_seq
CREATE SEQUENCE ingested_logs_log_id_seq
CREATE SEQUENCE page_generations
CREATE SEQUENCE reproductions_reproduction_id_seq
CREATE SEQUENCE series_series_id_seq

CREATE TABLE access_records (
    at timestamp with time zone NOT NULL,
    client_hash bigint,
    agent_id bigint NOT NULL,
    wheel_id bigint,
    bytes bigint NOT NULL,
    request_kind smallint NOT NULL,
    status smallint NOT NULL
) PARTITION BY RANGE (at)

CREATE TABLE active_log_readers (
    reader text NOT NULL,
    seen_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT active_log_readers_pkey PRIMARY KEY (reader)
)

CREATE TABLE bucket_changes (
    change_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    is_index boolean NOT NULL,
    kind text NOT NULL,
    project text NOT NULL,
    subject text NOT NULL DEFAULT ''::text,
    changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    due_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT bucket_changes_kind_check CHECK ((kind = ANY (ARRAY['wheel'::text, 'simple'::text, 'log'::text, 'project'::text, 'object'::text]))),
    CONSTRAINT bucket_changes_pkey PRIMARY KEY (change_id)
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0)
CREATE INDEX bucket_changes_order ON bucket_changes USING btree (is_index, due_at)
CREATE INDEX bucket_changes_project ON bucket_changes USING btree (project, is_index)
CREATE INDEX bucket_changes_subject ON bucket_changes USING btree (subject COLLATE "C")

CREATE TABLE builds (
    build_id bigint NOT NULL,
    project text NOT NULL,
    version text NOT NULL,
    target text NOT NULL,
    builder text NOT NULL,
    outcome text NOT NULL,
    will_retry boolean NOT NULL,
    reason text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone NOT NULL DEFAULT now(),
    duration_s double precision NOT NULL,
    attempt integer NOT NULL,
    build_inputs text[] NOT NULL,
    phases jsonb NOT NULL DEFAULT '[]'::jsonb,
    without_compiler boolean NOT NULL DEFAULT false,
    failure_class text NOT NULL DEFAULT ''::text,
    evidence jsonb NOT NULL DEFAULT '{}'::jsonb,
    ignored_by_policy boolean NOT NULL DEFAULT false,
    CONSTRAINT builds_failure_class_check CHECK ((failure_class = ANY (ARRAY[''::text, 'unknown'::text, 'missing-package'::text, 'missing-toolchain'::text, 'compiler-error'::text, 'python-too-new'::text, 'tools-too-new'::text, 'build-requirement'::text, 'undeclared-requirement'::text, 'needs-network'::text, 'tests-in-build'::text, 'refused'::text, 'metadata'::text, 'bad-sdist'::text, 'wrong-name'::text, 'wrong-version'::text, 'no-wheel'::text, 'several-wheels'::text, 'empty-wheel'::text, 'rejected'::text, 'limit'::text, 'timed-out'::text, 'out-of-memory'::text, 'disk-full'::text, 'killed'::text, 'crashed'::text, 'index-fault'::text, 'file-gone'::text, 'damaged-download'::text, 'builder-fault'::text, 'master-fault'::text, 'lost'::text, 'canceled'::text]))),
    CONSTRAINT builds_outcome_check CHECK ((outcome = ANY (ARRAY['built'::text, 'failed'::text, 'refused'::text, 'timed-out'::text, 'out-of-memory'::text, 'disk-full'::text, 'fetch-failed'::text, 'bad-sdist'::text, 'lost'::text, 'canceled'::text, 'builder-failed'::text]))),
    CONSTRAINT builds_pkey PRIMARY KEY (build_id),
    CONSTRAINT builds_project_version_fkey FOREIGN KEY (project, version) REFERENCES releases(project, version) ON DELETE CASCADE,
    CONSTRAINT builds_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)
CREATE INDEX builds_duration ON builds USING btree (duration_s)
CREATE INDEX builds_ended ON builds USING btree (ended_at)
CREATE INDEX builds_failed ON builds USING btree (ended_at) WHERE (outcome <> 'built'::text)
CREATE INDEX builds_made ON builds USING btree (ended_at) WHERE (builder <> 'mirror'::text)
CREATE INDEX builds_release ON builds USING btree (project, version, target)
CREATE TRIGGER builds_deleted_bucket AFTER DELETE ON builds REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes()
CREATE TRIGGER builds_deleted_counts AFTER DELETE ON builds REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_builds()
CREATE TRIGGER builds_inserted AFTER INSERT ON builds REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER builds_inserted_bucket AFTER INSERT ON builds REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes()
CREATE TRIGGER builds_inserted_counts AFTER INSERT ON builds REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_builds()
CREATE TRIGGER builds_inserted_pages AFTER INSERT ON builds REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER builds_of_replaced_sdist BEFORE INSERT ON builds FOR EACH ROW EXECUTE FUNCTION ignore_build_of_replaced_sdist()
CREATE TRIGGER builds_updated AFTER UPDATE ON builds REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER builds_updated_counts AFTER UPDATE ON builds REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_builds()
CREATE TRIGGER builds_updated_pages AFTER UPDATE ON builds REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE compatible_targets (
    compatibility_id text NOT NULL,
    target text NOT NULL,
    tag_rank integer,
    is_loadable boolean NOT NULL DEFAULT true,
    CONSTRAINT compatible_targets_compatibility_id_fkey FOREIGN KEY (compatibility_id) REFERENCES wheel_compatibilities(compatibility_id) ON DELETE CASCADE,
    CONSTRAINT compatible_targets_pkey PRIMARY KEY (compatibility_id, target),
    CONSTRAINT compatible_targets_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)

CREATE TABLE daily_address_keys (
    day date NOT NULL,
    key bytea,
    made_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT daily_address_keys_pkey PRIMARY KEY (day)
)

CREATE TABLE daily_client_hashes (
    day date NOT NULL,
    client_hash bigint NOT NULL,
    CONSTRAINT daily_client_hashes_pkey PRIMARY KEY (day, client_hash)
)

CREATE TABLE downloaded_wheels (
    wheel_id bigint NOT NULL,
    filename text NOT NULL,
    project text NOT NULL,
    saved_s double precision,
    CONSTRAINT downloaded_wheels_pkey PRIMARY KEY (wheel_id)
)
CREATE INDEX downloaded_wheels_project ON downloaded_wheels USING btree (project)

CREATE TABLE downloads_by_project (
    project text NOT NULL,
    downloads bigint NOT NULL,
    saved_s double precision NOT NULL,
    CONSTRAINT downloads_by_project_pkey PRIMARY KEY (project)
) WITH (fillfactor=80, autovacuum_vacuum_scale_factor=0.05)

CREATE TABLE downloads_daily (
    day date NOT NULL,
    counted bigint NOT NULL DEFAULT 0,
    counted_bytes bigint NOT NULL DEFAULT 0,
    counted_saved_s double precision NOT NULL DEFAULT 0,
    imported bigint NOT NULL DEFAULT 0,
    imported_bytes bigint NOT NULL DEFAULT 0,
    imported_saved_s double precision NOT NULL DEFAULT 0,
    downloads bigint NOT NULL GENERATED ALWAYS AS GREATEST(counted, imported) STORED,
    bytes bigint NOT NULL GENERATED ALWAYS AS GREATEST(counted_bytes, imported_bytes) STORED,
    saved_s double precision NOT NULL GENERATED ALWAYS AS GREATEST(counted_saved_s, imported_saved_s) STORED,
    clients bigint NOT NULL DEFAULT 0,
    index_hits bigint NOT NULL DEFAULT 0,
    project_pages bigint NOT NULL DEFAULT 0,
    json_pages bigint NOT NULL DEFAULT 0,
    log_pages bigint NOT NULL DEFAULT 0,
    others bigint NOT NULL DEFAULT 0,
    CONSTRAINT downloads_daily_pkey PRIMARY KEY (day)
)

CREATE TABLE downloads_daily_by_dimension (
    day date NOT NULL,
    dimension text NOT NULL,
    value text NOT NULL,
    downloads bigint NOT NULL,
    CONSTRAINT downloads_daily_by_dimension_dimension_check CHECK ((dimension = ANY (ARRAY['arch'::text, 'os'::text, 'python'::text, 'installer'::text]))),
    CONSTRAINT downloads_daily_by_dimension_pkey PRIMARY KEY (dimension, day, value)
)

CREATE TABLE downloads_monthly_by_project (
    month date NOT NULL,
    project text NOT NULL,
    downloads integer NOT NULL,
    days integer[] NOT NULL,
    CONSTRAINT downloads_monthly_by_project_pkey PRIMARY KEY (month, project)
) WITH (fillfactor=80, autovacuum_vacuum_scale_factor=0.05)
CREATE INDEX downloads_monthly_by_project_months ON downloads_monthly_by_project USING brin (month) WITH (pages_per_range='32', autosummarize='on')

CREATE TABLE downloads_monthly_by_wheel (
    month date NOT NULL,
    wheel_id bigint NOT NULL,
    downloads integer NOT NULL,
    days integer[] NOT NULL,
    CONSTRAINT downloads_monthly_by_wheel_pkey PRIMARY KEY (month, wheel_id)
) WITH (fillfactor=80, autovacuum_vacuum_scale_factor=0.05)

CREATE TABLE downloads_recent_seconds (
    second timestamp with time zone NOT NULL,
    downloads integer NOT NULL,
    CONSTRAINT downloads_recent_seconds_pkey PRIMARY KEY (second)
)

CREATE TABLE events (
    event_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    at timestamp with time zone NOT NULL DEFAULT now(),
    who text NOT NULL,
    text text NOT NULL,
    subject text NOT NULL DEFAULT ''::text,
    outcome text NOT NULL DEFAULT ''::text,
    CONSTRAINT events_pkey PRIMARY KEY (event_id)
)

CREATE TABLE exported_accesses (
    file text NOT NULL,
    day date NOT NULL,
    accesses bigint NOT NULL,
    downloads bigint NOT NULL,
    bytes bigint NOT NULL,
    adopted boolean NOT NULL DEFAULT false,
    exported_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT exported_accesses_pkey PRIMARY KEY (file)
)

CREATE TABLE file_deletions (
    filename text NOT NULL,
    sha256 text NOT NULL,
    project text NOT NULL,
    removed_at timestamp with time zone NOT NULL DEFAULT now(),
    installing boolean NOT NULL DEFAULT false,
    CONSTRAINT file_deletions_pkey PRIMARY KEY (filename)
)
CREATE TRIGGER file_deletions_deleted_bucket AFTER DELETE ON file_deletions REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes()

CREATE TABLE files (
    filename text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    metadata_sha256 text NOT NULL,
    compatibility_id text NOT NULL,
    build_tag integer NOT NULL DEFAULT 0,
    requires_python text NOT NULL,
    debian_packages text[] NOT NULL,
    has_provenance boolean NOT NULL DEFAULT false,
    project text NOT NULL,
    version text NOT NULL,
    build_id bigint NOT NULL,
    rebuild_requested boolean NOT NULL DEFAULT false,
    published_at timestamp with time zone NOT NULL DEFAULT now(),
    mirrored_from text,
    uploaded_at timestamp with time zone,
    yanked text,
    missing_since timestamp with time zone,
    attestations_url text NOT NULL DEFAULT ''::text,
    CONSTRAINT files_build_id_fkey FOREIGN KEY (build_id) REFERENCES builds(build_id) ON DELETE CASCADE,
    CONSTRAINT files_compatibility_id_fkey FOREIGN KEY (compatibility_id) REFERENCES wheel_compatibilities(compatibility_id),
    CONSTRAINT files_filename_fkey FOREIGN KEY (filename) REFERENCES reserved_filenames(filename),
    CONSTRAINT files_pkey PRIMARY KEY (filename),
    CONSTRAINT files_project_version_fkey FOREIGN KEY (project, version) REFERENCES releases(project, version) ON DELETE CASCADE
)
CREATE INDEX files_build ON files USING btree (build_id)
CREATE INDEX files_hash_prefix ON files USING btree ("left"(sha256, 2))
CREATE INDEX files_mirrored ON files USING btree (project) WHERE (mirrored_from IS NOT NULL)
CREATE INDEX files_release ON files USING btree (project, version)
CREATE INDEX files_unstated ON files USING btree (filename) WHERE (NOT has_provenance)
CREATE TRIGGER files_deleted AFTER DELETE ON files REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER files_deleted_counts AFTER DELETE ON files REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_files()
CREATE TRIGGER files_deleted_pages AFTER DELETE ON files REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_files()
CREATE TRIGGER files_inserted AFTER INSERT ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER files_inserted_bucket AFTER INSERT ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes()
CREATE TRIGGER files_inserted_counts AFTER INSERT ON files REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_files()
CREATE TRIGGER files_inserted_pages AFTER INSERT ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_files()
CREATE TRIGGER files_of_replaced_sdist BEFORE INSERT OR UPDATE ON files FOR EACH ROW EXECUTE FUNCTION rebuild_file_of_replaced_sdist()
CREATE TRIGGER files_updated AFTER UPDATE ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER files_updated_bucket AFTER UPDATE ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION record_bucket_changes()
CREATE TRIGGER files_updated_counts AFTER UPDATE ON files REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_files()
CREATE TRIGGER files_updated_pages AFTER UPDATE ON files REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE followed_bucket (
    is_only_row boolean NOT NULL DEFAULT true,
    target text NOT NULL,
    first_copy text NOT NULL DEFAULT 'index'::text,
    copied_until text NOT NULL DEFAULT ''::text,
    copied_projects bigint NOT NULL DEFAULT 0,
    is_comparison boolean NOT NULL DEFAULT false,
    CONSTRAINT followed_bucket_first_copy_check CHECK ((first_copy = ANY (ARRAY['index'::text, 'site'::text, 'done'::text]))),
    CONSTRAINT followed_bucket_is_only_row_check CHECK (is_only_row),
    CONSTRAINT followed_bucket_pkey PRIMARY KEY (is_only_row)
)

CREATE TABLE ingested_log_checkpoints (
    log_id bigint NOT NULL,
    "position" bigint NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT ingested_log_checkpoints_log_id_fkey FOREIGN KEY (log_id) REFERENCES ingested_logs(log_id) ON DELETE CASCADE,
    CONSTRAINT ingested_log_checkpoints_pkey PRIMARY KEY (log_id, "position")
)

CREATE TABLE ingested_logs (
    log_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    first_line bytea NOT NULL,
    ordinal integer NOT NULL,
    "position" bigint NOT NULL,
    digest bytea NOT NULL,
    lines bigint NOT NULL,
    rejected_lines bigint NOT NULL,
    name text NOT NULL,
    read_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT ingested_logs_first_line_ordinal_key UNIQUE (first_line, ordinal),
    CONSTRAINT ingested_logs_pkey PRIMARY KEY (log_id)
)

CREATE TABLE jobs (
    project text NOT NULL,
    version text NOT NULL,
    target text NOT NULL,
    queued_at timestamp with time zone NOT NULL DEFAULT now(),
    priority_class smallint NOT NULL DEFAULT 3,
    priority_time timestamp with time zone NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    retry_at timestamp with time zone,
    retry_delay interval,
    hold_reason text,
    avoid_builder text NOT NULL DEFAULT ''::text,
    memory_over_bytes bigint NOT NULL DEFAULT 0,
    min_timeout_s double precision NOT NULL DEFAULT 0,
    min_speed double precision NOT NULL DEFAULT 0,
    required_packages text[] NOT NULL DEFAULT '{}'::text[],
    awaited_project text NOT NULL DEFAULT ''::text,
    parked boolean NOT NULL DEFAULT false,
    is_pure boolean NOT NULL DEFAULT false,
    is_long boolean NOT NULL DEFAULT false,
    min_disk_bytes bigint NOT NULL DEFAULT 0,
    claimed_by text,
    claimed_at timestamp with time zone,
    build_id bigint,
    last_build_id bigint,
    last_builder text,
    needs_hash bigint GENERATED ALWAYS AS hash_record_extended(ROW((attempts = 0), avoid_builder, memory_over_bytes, min_disk_bytes, min_speed, required_packages, is_long, is_pure), (0)::bigint) STORED,
    CONSTRAINT jobs_pkey PRIMARY KEY (project, version, target),
    CONSTRAINT jobs_priority_class_check CHECK (((priority_class >= 0) AND (priority_class <= 3))),
    CONSTRAINT jobs_project_version_fkey FOREIGN KEY (project, version) REFERENCES releases(project, version) ON DELETE CASCADE,
    CONSTRAINT jobs_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=200, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0.05, fillfactor=70)
CREATE INDEX jobs_awaiting_project ON jobs USING btree (awaited_project) WHERE (awaited_project <> ''::text)
CREATE INDEX jobs_claimable ON jobs USING btree (target, priority_class, priority_time) WHERE ((claimed_by IS NULL) AND (retry_at IS NULL) AND (NOT parked))
CREATE INDEX jobs_claimable_by_needs ON jobs USING btree (target, priority_class, needs_hash, priority_time) WHERE ((claimed_by IS NULL) AND (retry_at IS NULL) AND (NOT parked) AND (hold_reason IS NULL))
CREATE INDEX jobs_claimable_long ON jobs USING btree (target, priority_class, priority_time) WHERE ((claimed_by IS NULL) AND (retry_at IS NULL) AND (NOT parked) AND is_long)
CREATE INDEX jobs_claimable_pure ON jobs USING btree (target, priority_class, priority_time) WHERE ((claimed_by IS NULL) AND (retry_at IS NULL) AND (NOT parked) AND is_pure)
CREATE INDEX jobs_claimable_short ON jobs USING btree (target, priority_class, priority_time) WHERE ((claimed_by IS NULL) AND (retry_at IS NULL) AND (NOT parked) AND (NOT is_long))
CREATE INDEX jobs_claimed ON jobs USING btree (claimed_by) WHERE (claimed_by IS NOT NULL)
CREATE INDEX jobs_deferred ON jobs USING btree (retry_at) WHERE (retry_at IS NOT NULL)
CREATE INDEX jobs_requiring_packages ON jobs USING btree (target) WHERE (required_packages <> '{}'::text[])
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes()
CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes()
CREATE TRIGGER jobs_updated AFTER UPDATE ON jobs REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_job_changes()

CREATE TABLE key_values (
    key text NOT NULL,
    value text NOT NULL,
    CONSTRAINT key_values_pkey PRIMARY KEY (key)
)

CREATE TABLE line_fingerprints (
    minute integer NOT NULL,
    fingerprints bytea NOT NULL STORAGE EXTERNAL,
    uncompacted boolean NOT NULL DEFAULT true
)
CREATE INDEX line_fingerprints_minute ON line_fingerprints USING btree (minute)
CREATE INDEX line_fingerprints_uncompacted ON line_fingerprints USING btree (minute) WHERE uncompacted

CREATE TABLE listed_projects (
    project text NOT NULL,
    downloads bigint NOT NULL,
    serial bigint NOT NULL,
    next_check_at timestamp with time zone NOT NULL DEFAULT now(),
    checks integer NOT NULL DEFAULT 0,
    problem text NOT NULL DEFAULT ''::text,
    CONSTRAINT listed_projects_pkey PRIMARY KEY (project)
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0)
CREATE INDEX listed_projects_again ON listed_projects USING btree (next_check_at) WHERE (checks > 0)
CREATE INDEX listed_projects_order ON listed_projects USING btree (downloads DESC, serial DESC, project) WHERE (checks = 0)

CREATE TABLE master_epoch (
    single boolean NOT NULL DEFAULT true,
    epoch bigint NOT NULL,
    CONSTRAINT master_epoch_pkey PRIMARY KEY (single),
    CONSTRAINT master_epoch_single_check CHECK (single)
)

CREATE TABLE page_digests (
    project text NOT NULL,
    digest text NOT NULL,
    CONSTRAINT page_digests_pkey PRIMARY KEY (project)
)

CREATE TABLE page_invalidations (
    page_kind text NOT NULL,
    page_key text NOT NULL,
    urgent boolean NOT NULL DEFAULT false,
    invalidated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT page_invalidations_page_kind_check CHECK ((page_kind = ANY (ARRAY['simple'::text, 'project'::text, 'projects'::text, 'alias'::text, 'home'::text, 'stats'::text, 'search'::text, 'sitemaps'::text, 'failures'::text, 'static'::text])))
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_insert_scale_factor=0.5, autovacuum_vacuum_cost_delay=0)
CREATE INDEX page_invalidations_page ON page_invalidations USING btree (page_kind, page_key)
CREATE INDEX page_invalidations_urgent ON page_invalidations USING btree (page_kind) WHERE urgent

CREATE TABLE page_queue (
    page_kind text NOT NULL,
    page_key text NOT NULL,
    generation bigint NOT NULL DEFAULT nextval('page_generations'::regclass),
    urgent boolean NOT NULL DEFAULT false,
    dirty boolean NOT NULL DEFAULT true,
    dirty_since timestamp with time zone NOT NULL DEFAULT now(),
    written_at timestamp with time zone,
    failures integer NOT NULL DEFAULT 0,
    retry_at timestamp with time zone,
    CONSTRAINT page_queue_page_kind_check CHECK ((page_kind = ANY (ARRAY['simple'::text, 'project'::text, 'projects'::text, 'alias'::text, 'home'::text, 'stats'::text, 'search'::text, 'sitemaps'::text, 'failures'::text, 'static'::text]))),
    CONSTRAINT page_queue_pkey PRIMARY KEY (page_kind, page_key)
)
CREATE INDEX page_queue_order ON page_queue USING btree (page_kind, urgent DESC, dirty_since) WHERE dirty
CREATE TRIGGER page_queue_deleted_counts AFTER DELETE ON page_queue REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_pages()
CREATE TRIGGER page_queue_inserted_counts AFTER INSERT ON page_queue REFERENCING NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_pages()
CREATE TRIGGER page_queue_updated_bucket AFTER UPDATE ON page_queue REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION record_written_pages()
CREATE TRIGGER page_queue_updated_counts AFTER UPDATE ON page_queue REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_pages()

CREATE TABLE project_aliases (
    alias text NOT NULL,
    project text NOT NULL,
    created_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT project_aliases_pkey PRIMARY KEY (alias),
    CONSTRAINT project_aliases_project_fkey FOREIGN KEY (project) REFERENCES projects(project) ON DELETE CASCADE
)
CREATE INDEX project_aliases_project ON project_aliases USING btree (project)
CREATE TRIGGER project_aliases_deleted AFTER DELETE ON project_aliases REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases()
CREATE TRIGGER project_aliases_inserted AFTER INSERT ON project_aliases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases()
CREATE TRIGGER project_aliases_updated AFTER UPDATE ON project_aliases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_aliases()

CREATE TABLE project_metadata (
    project text NOT NULL,
    version text NOT NULL,
    name text NOT NULL,
    summary text NOT NULL,
    license text NOT NULL,
    link_labels text[] NOT NULL,
    link_urls text[] NOT NULL,
    CONSTRAINT project_metadata_pkey PRIMARY KEY (project),
    CONSTRAINT project_metadata_project_fkey FOREIGN KEY (project) REFERENCES projects(project) ON DELETE CASCADE
)
CREATE TRIGGER project_metadata_inserted AFTER INSERT ON project_metadata REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER project_metadata_updated AFTER UPDATE ON project_metadata REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE projects (
    project text NOT NULL,
    display_name text NOT NULL,
    added_at timestamp with time zone NOT NULL DEFAULT now(),
    follow_since timestamp with time zone,
    existing_versions text[],
    status text NOT NULL DEFAULT 'active'::text,
    status_reason text NOT NULL DEFAULT ''::text,
    skip_reason text,
    upstream_wheel_policy text,
    is_named boolean NOT NULL DEFAULT false,
    is_popular boolean NOT NULL DEFAULT false,
    is_pure boolean NOT NULL DEFAULT false,
    min_memory_bytes bigint NOT NULL DEFAULT 0,
    min_disk_bytes bigint NOT NULL DEFAULT 0,
    expected_build_s double precision NOT NULL DEFAULT 0,
    is_long boolean GENERATED ALWAYS AS (expected_build_s >= (1200)::double precision) STORED,
    next_poll_at timestamp with time zone NOT NULL DEFAULT now(),
    page_serial bigint,
    etag text NOT NULL DEFAULT ''::text,
    last_modified text NOT NULL DEFAULT ''::text,
    checked_at timestamp with time zone,
    check_result text NOT NULL DEFAULT ''::text,
    check_result_count integer NOT NULL DEFAULT 0,
    check_problem text NOT NULL DEFAULT ''::text,
    CONSTRAINT projects_check_result_check CHECK ((check_result = ANY (ARRAY[''::text, 'current'::text, 'older'::text, 'absent'::text, 'empty'::text, 'unusable'::text, 'fault'::text]))),
    CONSTRAINT projects_pkey PRIMARY KEY (project),
    CONSTRAINT projects_status_check CHECK ((status = ANY (ARRAY['active'::text, 'archived'::text, 'quarantined'::text, 'deprecated'::text]))),
    CONSTRAINT projects_upstream_wheel_policy_check CHECK ((upstream_wheel_policy = ANY (ARRAY['build'::text, 'missing'::text, 'mirror'::text])))
)
CREATE INDEX projects_next_poll ON projects USING btree (next_poll_at) WHERE (follow_since IS NOT NULL)
CREATE INDEX projects_popular ON projects USING btree (project) WHERE is_popular
CREATE TRIGGER projects_deleted_counts AFTER DELETE ON projects REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
CREATE TRIGGER projects_deleted_pages AFTER DELETE ON projects REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER projects_inserted_aliases AFTER INSERT ON projects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION add_display_name_alias()
CREATE TRIGGER projects_inserted_counts AFTER INSERT ON projects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
CREATE TRIGGER projects_inserted_pages AFTER INSERT ON projects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER projects_prioritized AFTER UPDATE OF is_named, is_popular ON projects FOR EACH ROW WHEN (((new.is_named IS DISTINCT FROM old.is_named) OR (new.is_popular IS DISTINCT FROM old.is_popular))) EXECUTE FUNCTION set_job_priorities()
CREATE TRIGGER projects_updated AFTER UPDATE ON projects REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_projects()
CREATE TRIGGER projects_updated_aliases AFTER UPDATE ON projects REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION add_display_name_alias()
CREATE TRIGGER projects_updated_pages AFTER UPDATE ON projects REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_projects()

CREATE TABLE pruned_fingerprint_days (
    day date NOT NULL,
    CONSTRAINT pruned_fingerprint_days_pkey PRIMARY KEY (day)
)

CREATE TABLE queue_length_samples (
    at timestamp with time zone NOT NULL,
    target text NOT NULL,
    pending integer NOT NULL,
    claimed integer NOT NULL,
    CONSTRAINT queue_length_samples_pkey PRIMARY KEY (at, target),
    CONSTRAINT queue_length_samples_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)

CREATE TABLE releases (
    project text NOT NULL,
    version text NOT NULL,
    released_at timestamp with time zone NOT NULL,
    requires_python text NOT NULL,
    yanked text,
    skip_reason text,
    missing_since timestamp with time zone,
    removed_at timestamp with time zone,
    sdist_filename text,
    sdist_url text,
    sdist_sha256 text,
    sdist_size bigint,
    sdist_digest text,
    sdist_replaced_at timestamp with time zone,
    sdist_replaced_build_id bigint,
    CONSTRAINT releases_pkey PRIMARY KEY (project, version),
    CONSTRAINT releases_project_fkey FOREIGN KEY (project) REFERENCES projects(project) ON DELETE CASCADE,
    CONSTRAINT releases_requires_python_fkey FOREIGN KEY (requires_python) REFERENCES requires_python_specifiers(requires_python)
)
CREATE INDEX releases_missing ON releases USING btree (project, version) WHERE (missing_since IS NOT NULL)
CREATE TRIGGER releases_awaited AFTER INSERT ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION requeue_awaiting_jobs()
CREATE TRIGGER releases_deleted_counts AFTER DELETE ON releases REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
CREATE TRIGGER releases_deleted_pages AFTER DELETE ON releases REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases()
CREATE TRIGGER releases_inserted AFTER INSERT ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER releases_inserted_counts AFTER INSERT ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows()
CREATE TRIGGER releases_inserted_pages AFTER INSERT ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases()
CREATE TRIGGER releases_replaced_sdist AFTER UPDATE OF sdist_replaced_build_id ON releases FOR EACH ROW WHEN ((new.sdist_replaced_build_id IS DISTINCT FROM old.sdist_replaced_build_id)) EXECUTE FUNCTION rebuild_replaced_sdist()
CREATE TRIGGER releases_updated AFTER UPDATE ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER releases_updated_pages AFTER UPDATE ON releases REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_releases()

CREATE TABLE reproductions (
    reproduction_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    filename text NOT NULL,
    project text NOT NULL,
    target text NOT NULL,
    asked_by text NOT NULL,
    asked_at timestamp with time zone NOT NULL DEFAULT now(),
    claimed_by text,
    build_id bigint,
    started_at timestamp with time zone,
    attempts integer NOT NULL DEFAULT 0,
    ended_at timestamp with time zone,
    builder text NOT NULL DEFAULT ''::text,
    result text NOT NULL DEFAULT 'pending'::text,
    reason text NOT NULL DEFAULT ''::text,
    comparison jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT reproductions_check CHECK (((result = 'pending'::text) = (ended_at IS NULL))),
    CONSTRAINT reproductions_check1 CHECK (((claimed_by IS NULL) OR (ended_at IS NULL))),
    CONSTRAINT reproductions_filename_fkey FOREIGN KEY (filename) REFERENCES files(filename) ON DELETE CASCADE,
    CONSTRAINT reproductions_pkey PRIMARY KEY (reproduction_id),
    CONSTRAINT reproductions_result_check CHECK ((result = ANY (ARRAY['pending'::text, 'same'::text, 'same-contents'::text, 'differs'::text, 'failed'::text])))
)
CREATE INDEX reproductions_claimed ON reproductions USING btree (claimed_by) WHERE (claimed_by IS NOT NULL)
CREATE INDEX reproductions_file ON reproductions USING btree (filename, reproduction_id)
CREATE INDEX reproductions_project ON reproductions USING btree (project)
CREATE UNIQUE INDEX reproductions_open ON reproductions USING btree (filename) WHERE (ended_at IS NULL)
CREATE TRIGGER reproductions_updated_pages AFTER UPDATE ON reproductions REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE requires_python_specifiers (
    requires_python text NOT NULL,
    CONSTRAINT requires_python_specifiers_pkey PRIMARY KEY (requires_python)
)

CREATE TABLE requires_python_targets (
    requires_python text NOT NULL,
    target text NOT NULL,
    CONSTRAINT requires_python_targets_pkey PRIMARY KEY (requires_python, target),
    CONSTRAINT requires_python_targets_requires_python_fkey FOREIGN KEY (requires_python) REFERENCES requires_python_specifiers(requires_python) ON DELETE CASCADE,
    CONSTRAINT requires_python_targets_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)

CREATE TABLE reserved_filenames (
    filename text NOT NULL,
    sha256 text NOT NULL,
    CONSTRAINT reserved_filenames_pkey PRIMARY KEY (filename)
)

CREATE TABLE row_counts (
    table_name text NOT NULL,
    category text NOT NULL DEFAULT ''::text,
    state text NOT NULL DEFAULT ''::text,
    number bigint NOT NULL,
    size_bytes bigint NOT NULL DEFAULT 0
) WITH (autovacuum_vacuum_scale_factor=0.01, autovacuum_vacuum_threshold=1000, autovacuum_vacuum_cost_delay=0)

CREATE TABLE schema_migrations (
    version integer NOT NULL,
    applied_at timestamp with time zone NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (version)
)

CREATE TABLE series (
    series_id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    CONSTRAINT series_name_key UNIQUE (name),
    CONSTRAINT series_pkey PRIMARY KEY (series_id)
)

CREATE TABLE series_values (
    series_id integer NOT NULL,
    step_s integer NOT NULL,
    at timestamp with time zone NOT NULL,
    mean real NOT NULL,
    maximum real NOT NULL,
    minutes integer NOT NULL,
    CONSTRAINT series_values_pkey PRIMARY KEY (series_id, step_s, at),
    CONSTRAINT series_values_series_id_fkey FOREIGN KEY (series_id) REFERENCES series(series_id) ON DELETE CASCADE
) WITH (fillfactor=70)

CREATE TABLE target_absences (
    target text NOT NULL,
    without_builder_s double precision NOT NULL DEFAULT 0,
    without_compiler_s double precision NOT NULL DEFAULT 0,
    CONSTRAINT target_absences_pkey PRIMARY KEY (target),
    CONSTRAINT target_absences_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)

CREATE TABLE target_skips (
    project text NOT NULL,
    version text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT target_skips_pkey PRIMARY KEY (project, target, version),
    CONSTRAINT target_skips_project_fkey FOREIGN KEY (project) REFERENCES projects(project) ON DELETE CASCADE,
    CONSTRAINT target_skips_target_fkey FOREIGN KEY (target) REFERENCES targets(target) ON DELETE CASCADE
)
CREATE TRIGGER target_skips_deleted AFTER DELETE ON target_skips REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_target_skips()
CREATE TRIGGER target_skips_deleted_pages AFTER DELETE ON target_skips REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER target_skips_inserted AFTER INSERT ON target_skips REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_target_skips()
CREATE TRIGGER target_skips_inserted_pages AFTER INSERT ON target_skips REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER target_skips_updated_pages AFTER UPDATE ON target_skips REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE targets (
    target text NOT NULL,
    sort_order integer NOT NULL,
    python text NOT NULL,
    python_full text NOT NULL,
    implementation text NOT NULL,
    abi text NOT NULL,
    arch text NOT NULL,
    os text NOT NULL,
    glibc text NOT NULL,
    skip_reason text,
    jobs_outdated boolean NOT NULL DEFAULT true,
    has_builder boolean NOT NULL DEFAULT true,
    has_compiler boolean NOT NULL DEFAULT false,
    CONSTRAINT targets_pkey PRIMARY KEY (target)
)
CREATE TRIGGER targets_changed_pages AFTER INSERT OR DELETE OR UPDATE ON targets FOR EACH STATEMENT EXECUTE FUNCTION invalidate_pages_of_targets()

CREATE TABLE upstream_changes (
    project text NOT NULL,
    serial bigint NOT NULL,
    action text NOT NULL,
    removed_versions text[] NOT NULL,
    project_removed boolean NOT NULL,
    first_seen_at timestamp with time zone NOT NULL DEFAULT now(),
    next_check_at timestamp with time zone NOT NULL DEFAULT now(),
    checks integer NOT NULL DEFAULT 0,
    checks_without_serial integer NOT NULL DEFAULT 0,
    problem text NOT NULL DEFAULT ''::text,
    CONSTRAINT upstream_changes_pkey PRIMARY KEY (project)
)
CREATE INDEX upstream_changes_next_check ON upstream_changes USING btree (next_check_at)

CREATE TABLE upstream_pages (
    project text NOT NULL,
    newest_version text,
    newest_at timestamp with time zone,
    newest_has_sdist boolean NOT NULL,
    problem_count integer NOT NULL,
    problems text[] NOT NULL,
    CONSTRAINT upstream_pages_pkey PRIMARY KEY (project),
    CONSTRAINT upstream_pages_project_fkey FOREIGN KEY (project) REFERENCES projects(project) ON DELETE CASCADE
)
CREATE TRIGGER upstream_pages_inserted AFTER INSERT ON upstream_pages REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER upstream_pages_updated AFTER UPDATE ON upstream_pages REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE upstream_wheels (
    project text NOT NULL,
    version text NOT NULL,
    filename text NOT NULL,
    compatibility_id text NOT NULL,
    requires_python text NOT NULL,
    CONSTRAINT upstream_wheels_compatibility_id_fkey FOREIGN KEY (compatibility_id) REFERENCES wheel_compatibilities(compatibility_id),
    CONSTRAINT upstream_wheels_pkey PRIMARY KEY (project, version, filename),
    CONSTRAINT upstream_wheels_project_version_fkey FOREIGN KEY (project, version) REFERENCES releases(project, version) ON DELETE CASCADE,
    CONSTRAINT upstream_wheels_requires_python_fkey FOREIGN KEY (requires_python) REFERENCES requires_python_specifiers(requires_python)
)
CREATE TRIGGER upstream_wheels_deleted AFTER DELETE ON upstream_wheels REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER upstream_wheels_deleted_pages AFTER DELETE ON upstream_wheels REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()
CREATE TRIGGER upstream_wheels_inserted AFTER INSERT ON upstream_wheels REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION recompute_jobs_of_releases()
CREATE TRIGGER upstream_wheels_inserted_pages AFTER INSERT ON upstream_wheels REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION invalidate_project_pages()

CREATE TABLE user_agents (
    agent_id bigint NOT NULL,
    client_type text NOT NULL,
    installer text NOT NULL,
    installer_version text NOT NULL,
    arch text NOT NULL,
    os text NOT NULL,
    os_release text NOT NULL,
    python text NOT NULL,
    CONSTRAINT user_agents_pkey PRIMARY KEY (agent_id)
)

CREATE TABLE wheel_compatibilities (
    compatibility_id text NOT NULL,
    tags text NOT NULL,
    glibc text NOT NULL,
    targets_computed boolean NOT NULL DEFAULT false,
    CONSTRAINT wheel_compatibilities_pkey PRIMARY KEY (compatibility_id)
)

CREATE TABLE wheels_to_mirror (
    project text NOT NULL,
    version text NOT NULL,
    filename text NOT NULL,
    url text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint,
    uploaded_at timestamp with time zone,
    attestations_url text NOT NULL DEFAULT ''::text,
    next_check_at timestamp with time zone NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    problem text NOT NULL DEFAULT ''::text,
    refused boolean NOT NULL DEFAULT false,
    CONSTRAINT wheels_to_mirror_pkey PRIMARY KEY (project, version, filename),
    CONSTRAINT wheels_to_mirror_project_version_filename_fkey FOREIGN KEY (project, version, filename) REFERENCES upstream_wheels(project, version, filename) ON DELETE CASCADE
)
CREATE INDEX wheels_to_mirror_next_check ON wheels_to_mirror USING btree (next_check_at) WHERE (NOT refused)
CREATE TRIGGER wheels_to_mirror_inserted AFTER INSERT ON wheels_to_mirror REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notify_wheels_to_mirror()
CREATE TRIGGER wheels_to_mirror_updated AFTER UPDATE ON wheels_to_mirror REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notify_wheels_to_mirror()

VIEW counted_rows (table_name, category, state, number, size_bytes)
VIEW covering_files (project, version, target, filename, tag_rank, build_tag, build_id, without_compiler, is_mirrored)
VIEW covering_upstream_wheels (project, version, target, filename, tag_rank)
VIEW installable_files (project, version, target, filename, tag_rank, build_tag, is_loadable, rebuild_requested, build_id, built_for, ended_at, without_compiler, is_mirrored)
VIEW listed_files (project, version, filename, sha256, size_bytes, metadata_sha256, compatibility_id, requires_python, debian_packages, build_id, rebuild_requested, published_at, uploaded_at, yanked, has_provenance, mirrored_from, attestations_url)
VIEW made_builds (build_id, project, version, target, builder, outcome, will_retry, reason, started_at, ended_at, duration_s, attempt, build_inputs, phases, without_compiler, failure_class, evidence, ignored_by_policy)
VIEW row_count_errors (table_name, category, state, kept, counted, kept_bytes, counted_bytes)
VIEW wanted_jobs (project, version, target)

FUNCTION add_display_name_alias() RETURNS trigger
FUNCTION add_epoch_triggers() RETURNS void
FUNCTION affected_releases(projects text[], versions text[]) RETURNS TABLE(project text, version text)
FUNCTION check_epoch() RETURNS trigger
FUNCTION compact_line_fingerprints(before integer) RETURNS void
FUNCTION correct_row_counts() RETURNS bigint
FUNCTION count_builds() RETURNS trigger
FUNCTION count_files() RETURNS trigger
FUNCTION count_pages() RETURNS trigger
FUNCTION count_rows() RETURNS trigger
FUNCTION create_access_partition(at timestamp with time zone) RETURNS void
FUNCTION drop_access_partitions(before date) RETURNS SETOF text
FUNCTION fold_row_counts() RETURNS bigint
FUNCTION ignore_build_of_replaced_sdist() RETURNS trigger
FUNCTION invalidate_pages(kind text, keys text[], is_urgent boolean DEFAULT false) RETURNS void
FUNCTION invalidate_pages_of_aliases() RETURNS trigger
FUNCTION invalidate_pages_of_files() RETURNS trigger
FUNCTION invalidate_pages_of_projects() RETURNS trigger
FUNCTION invalidate_pages_of_releases() RETURNS trigger
FUNCTION invalidate_pages_of_targets() RETURNS trigger
FUNCTION invalidate_project_pages() RETURNS trigger
FUNCTION is_sdist_replaced(old releases, new releases) RETURNS boolean
FUNCTION job_priority(project projects, release releases) RETURNS smallint
FUNCTION job_state(claimed_by text, parked boolean, retry_at timestamp with time zone, hold_reason text) RETURNS text
FUNCTION lock_projects(names text[]) RETURNS SETOF text
FUNCTION merge_sdist(old releases, new releases, OUT filename text, OUT url text, OUT sha256 text, OUT size bigint, OUT digest text) RETURNS record
FUNCTION notify_wheels_to_mirror() RETURNS trigger
FUNCTION prune_line_fingerprints(before date) RETURNS void
FUNCTION rebuild_file_of_replaced_sdist() RETURNS trigger
FUNCTION rebuild_replaced_sdist() RETURNS trigger
PROCEDURE recompute_all_jobs(IN batch integer DEFAULT 100, IN aim_ms double precision DEFAULT 20)
FUNCTION recompute_jobs(projects text[], versions text[]) RETURNS void
FUNCTION recompute_jobs_of_projects() RETURNS trigger
FUNCTION recompute_jobs_of_releases() RETURNS trigger
FUNCTION recompute_jobs_of_target_skips() RETURNS trigger
FUNCTION record_bucket_changes() RETURNS trigger
FUNCTION record_job_changes() RETURNS trigger
FUNCTION record_wheel_changes(projects text[], hashes text[], filenames text[]) RETURNS void
FUNCTION record_written_pages() RETURNS trigger
FUNCTION requeue_awaiting_jobs() RETURNS trigger
FUNCTION set_job_priorities() RETURNS trigger
