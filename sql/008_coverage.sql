-- Which wheel an installer takes on a target, whether it loads there, and what follows for the queue.

-- What an installer accepts by its tags on a target. `preference` is the place of the best of the
-- tags in the target's own list (packaging.tags; 0 is the most specific), NULL until the master
-- has worked it out; `loads` is false where the ELF files need a newer glibc than the target has:
-- installers do not check that on linux_<arch> tags.
ALTER TABLE kind_targets ADD COLUMN preference integer;
ALTER TABLE kind_targets ADD COLUMN loads boolean NOT NULL DEFAULT true;
ALTER TABLE kinds ADD COLUMN resolved boolean NOT NULL DEFAULT false;

-- The number of a file's build tag (PEP 427), 0 without one: among files whose best tag is the
-- same an installer takes the highest.
ALTER TABLE files ADD COLUMN build_tag integer NOT NULL DEFAULT 0;
UPDATE files SET build_tag = substring(split_part(filename, '-', 3) FROM '^\d{1,9}')::integer
 WHERE array_length(string_to_array(filename, '-'), 1) = 6
   AND split_part(filename, '-', 3) ~ '^\d{1,9}(\D|$)';

-- A builder without a C compiler made it of an sdist that has sources for one. What came out, a
-- wheel or a failure, holds until a builder with a compiler serves the target.
ALTER TABLE builds ADD COLUMN lacking boolean NOT NULL DEFAULT false;

-- served: a builder was there for the target within the last day, as far as the master ran;
-- equipped: one that has a C compiler. See target_absences.
ALTER TABLE targets ADD COLUMN served boolean NOT NULL DEFAULT true;
ALTER TABLE targets ADD COLUMN equipped boolean NOT NULL DEFAULT false;

-- How long the master has run without a builder for a target, and without one that has a
-- compiler, in seconds. Apart from targets: converge() tells by their rows what changed.
CREATE TABLE target_absences (
    target       text PRIMARY KEY REFERENCES targets ON DELETE CASCADE,
    unserved_s   double precision NOT NULL DEFAULT 0,
    unequipped_s double precision NOT NULL DEFAULT 0
);

-- Whether the last wheel that was made of a project, by a builder that lacked nothing, had no
-- compiled code (Root-Is-Purelib, tags none-any). Any builder may build its next release.
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

-- Releases of a project that are not to be built for a target; version '' is every release.
CREATE TABLE target_skips (
    project text NOT NULL REFERENCES projects ON DELETE CASCADE,
    version text NOT NULL,
    target  text NOT NULL REFERENCES targets ON DELETE CASCADE,
    reason  text NOT NULL,
    PRIMARY KEY (project, target, version)
);

-- What installers accept where, by tags and by the wheel's own Requires-Python. A specifier that
-- the master has not worked out yet keeps no interpreter out.
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

-- The files that cover a target: what installers take there loads, and is not to be built again.
--
-- A file covers nothing where installers prefer one that does not load there. That one was built
-- for another system; a build of the target's own that ended after it settles the matter anyway,
-- or the target would be built for ever.
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

-- What has to be built, by the rules alone.
--
-- A target of a release is open while no file covers it and no final failure settled it. One that
-- failed and may pass stays wanted. Of the others, a release without a wheel wants the first, one
-- with a wheel the first of each ABI and machine, oldest glibc first: its wheel serves the newer.
-- A target that no builder serves holds nobody up.
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

-- Make jobs agree with `coverage` for these releases. The only writer of jobs' membership.
--
-- Planning costs many times what running costs, and PostgreSQL would plan it again at each call:
-- it takes two arrays for shorter than the ones that it assumes.
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

-- The master works preferences and specifiers out when it starts, and lets jobs follow.
UPDATE targets SET converging = true;
