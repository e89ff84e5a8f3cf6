-- Retry policies: why a build failed, and what the next builder of a job must have.

-- `failure` is a class of model.FailureClass; '' for builds from before, and those that succeeded.
-- `evidence` is what was measured around the failure (model.Evidence). A failure that is forgiven
-- was tried again by order of an operator, and no longer counts for the policy.
ALTER TABLE builds
    ADD COLUMN failure  text NOT NULL DEFAULT '',
    ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN forgiven boolean NOT NULL DEFAULT false;

-- `delay` is how long before not_before the job was deferred: no clock, however wrong, makes the
-- job wait for longer. `held` says why a person has to decide. `avoid` to `min_speed` are as in
-- model.Disposition. `last_build` and `last_builder` say whose build of the job would still be
-- accepted, as long as nobody else claims it.
ALTER TABLE jobs
    ADD COLUMN delay        interval,
    ADD COLUMN held         text,
    ADD COLUMN avoid        text NOT NULL DEFAULT '',
    ADD COLUMN memory_over  bigint NOT NULL DEFAULT 0,
    ADD COLUMN limit_s      double precision NOT NULL DEFAULT 0,
    ADD COLUMN min_speed    double precision NOT NULL DEFAULT 0,
    ADD COLUMN last_build   bigint,
    ADD COLUMN last_builder text;
