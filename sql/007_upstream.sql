-- What the upstream index says is evidence, not an order: releases that its pages no longer list
-- are hidden and kept, and changes that its changelog reports wait until a page shows them.

-- missing_since: since when the upstream's page lacks the release; it is hidden meanwhile.
-- removed_at: when its removal was confirmed; it is deleted when the retention has passed.
ALTER TABLE releases ADD COLUMN missing_since timestamptz;
ALTER TABLE releases ADD COLUMN removed_at timestamptz;

CREATE INDEX releases_missing ON releases (project, version) WHERE missing_since IS NOT NULL;

-- existing: versions that the upstream had when the project was added: they are not new. NULL
-- until the first look after an upgrade. The rest is of the last look at the project's page.
ALTER TABLE projects ADD COLUMN existing text[];
ALTER TABLE projects ADD COLUMN page_serial bigint;  -- the highest that a page had
ALTER TABLE projects ADD COLUMN etag text NOT NULL DEFAULT '';
ALTER TABLE projects ADD COLUMN modified text NOT NULL DEFAULT '';  -- HTTP's Last-Modified
ALTER TABLE projects ADD COLUMN looked_at timestamptz;
ALTER TABLE projects ADD COLUMN finding text NOT NULL DEFAULT '';  -- current, absent, ...
ALTER TABLE projects ADD COLUMN repeats integer NOT NULL DEFAULT 0;  -- looks in a row with it
ALTER TABLE projects ADD COLUMN problem text NOT NULL DEFAULT '';
ALTER TABLE projects DROP COLUMN seen;

-- What the upstream's changelog reported and no page has shown yet, one row for each project.
CREATE TABLE upstream_changes (
    project    text PRIMARY KEY,
    serial     bigint NOT NULL,        -- of the newest event
    action     text NOT NULL,          -- its word for it
    removed    text[] NOT NULL,        -- removed releases, '' for the project as a whole
    gone       boolean NOT NULL,       -- the newest event is the removal of the project
    first_seen timestamptz NOT NULL DEFAULT now(),
    next_look  timestamptz NOT NULL DEFAULT now(),
    looks      integer NOT NULL DEFAULT 0,
    unproven   integer NOT NULL DEFAULT 0,  -- looks at pages that carry no serial
    problem    text NOT NULL DEFAULT ''
);

CREATE INDEX upstream_changes_next_look ON upstream_changes (next_look);
