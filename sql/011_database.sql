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
-- sdist_replaced_at: when its sdist was last found to be another one; older wheels are outdated.
ALTER TABLE releases ADD COLUMN sdist_digest text;
ALTER TABLE releases ADD COLUMN sdist_replaced_at timestamptz;
