/*
 * pg_patience: how long a session of ours waits for a lock before it starts over.
 *
 * A stock MLflow server on the same database takes locks in its clients' order: of params, tags,
 * datasets, new latest_metrics. No order of ours fits that, so a circle of the two is possible, and
 * PostgreSQL would end one of its sides after deadlock_timeout; when that is stock, its client sees
 * an error. We can start over unseen. So we do, well before the deadlock check of whoever waits for
 * us: what we held is free then, and no deadlock has come to be. It needs no privilege, and lets
 * stock win.
 *
 * An SQL expression for lock_timeout: a fifth to three tenths of deadlock_timeout, at most those of
 * a second; by chance, so that two sessions that meet do not meet again.
 */
#ifndef SCHEMA_PG_PATIENCE_H
#define SCHEMA_PG_PATIENCE_H

#define PG_LOCK_PATIENCE                                                                \
    "(SELECT greatest(1, least(setting::int, 1000) * (0.2 + random() / 10))::int::text" \
    " FROM pg_settings WHERE name = 'deadlock_timeout')"

#endif
