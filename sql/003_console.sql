-- What consoles ask: what came of each command, and which builds took long.

ALTER TABLE events RENAME COLUMN detail TO outcome;

CREATE INDEX builds_duration ON builds (duration_s);
