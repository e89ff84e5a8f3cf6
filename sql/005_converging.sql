-- Targets that are changed while jobs still follow an earlier change are followed once more.

-- Jobs of all projects follow a change of the targets, in batches that do not hold others up.
-- A target that is added, skipped or lifted meanwhile was too late for the first batches: its
-- row has another xmin then than at the beginning, and stays marked.
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
