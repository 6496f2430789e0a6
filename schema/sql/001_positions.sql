-- Schema sluice: everything of ours that lives in the database. MLflow's tables are elsewhere.

-- Not IF NOT EXISTS: that asks for the right to create schemas even when there is nothing to do,
-- and an administrator may have made this one for a role that has not got it.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'sluice') THEN
        CREATE SCHEMA sluice;
    END IF;
END;
$$;

-- Which of these numbered files have been applied.
CREATE TABLE sluice.migrations (
    number     integer NOT NULL,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT migrations_pk PRIMARY KEY (number)
);

-- How far the rows of each queue partition are in MLflow's tables: everything before `position`
-- is committed, nothing from it on. Moved in the transaction that writes the rows, after locking
-- the row, so that a crash or a partition in two hands cannot apply anything twice.
CREATE TABLE sluice.positions (
    queue_id  text NOT NULL,
    partition integer NOT NULL,
    position  bigint NOT NULL,
    CONSTRAINT positions_pk PRIMARY KEY (queue_id, partition)
);
