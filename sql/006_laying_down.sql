-- A file that is laid down is among the removals from before it lies in the tree until it is
-- published, with removed_at = infinity: whatever waits for its removal leaves it alone meanwhile,
-- and when it never is published the next start of the master has it removed (db/pages.py).

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
            -- One that is being laid down stays: it may be published in a moment.
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
