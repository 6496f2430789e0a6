"""PostgreSQL answers, but not as it should: read-only, full, locked, of another schema, slow; or time jumps."""

import contextlib
import email.utils
import glob
import os
import subprocess
import sys
import tempfile
import time
import uuid

import psycopg

import postgres
from cluster import Cluster
from scene import Scene, Skip, Steady, oracle
from server import Stock, clean_environment, wait_until

HEAD = "dc11669786a5"
PARENT = "75868b020152"


def read_only(suite):
    """The server turns read-only, in open sessions and in new ones, and back (F7)."""
    with Scene(suite, "read_only", suite.cluster) as scene:
        for value in ["on", "off"] * suite.times(1, 5):
            with scene.connect() as pg:
                pg.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
                pg.execute("SELECT pg_reload_conf()")
            if value == "on":
                scene.is_ready(False, "[-]flushing")
                assert scene.stat("sluice_flusher_held") > 0
                scene.accepts()
                scene.has_backlog()
                # Reads go on; what must be written is refused for now.
                assert scene.answers_reads() == 200
                answer = scene.timed("a run", 2, lambda: scene.post("runs/create",
                                                                    experiment_id="0"))
                assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
            else:
                scene.is_ready(True)
                assert scene.new_run()
        return scene.sound()


def failover(suite):
    """The primary dies, the next host of pg_uri is a standby, which is then promoted (F7)."""
    settings = {"synchronous_standby_names": "'*'", "wal_level": "replica"}
    with Cluster(settings) as primary:
        with contextlib.ExitStack() as stack:
            # A commit waits for the standby: one that the primary alone has seen would be lost.
            with psycopg.connect(primary.uri("postgres"), autocommit=True) as pg:
                pg.execute("SET synchronous_commit = local")
                pg.execute("CREATE DATABASE fault_failover")
            standby = stack.enter_context(postgres.Standby(primary))
            uri = (f"postgresql://tester@/fault_failover?host={primary.folder},{standby.folder}")
            with Scene(suite, "failover", primary, uri=uri) as scene:
                primary.stop(9)
                scene.is_ready(False, "[-]flushing")
                scene.accepts()
                scene.has_backlog()
                scene.answers_reads()
                # It may have yet to replay what made a run: no 404 before it is promoted.
                wait_until(lambda: scene.answers_reads() == 200, 30, "the standby answers")
                scene.refuses_unknown_runs()
                standby.promote()
                scene.is_ready(True)
                unknown = scene.log_metric(uuid.uuid4().hex)
                assert unknown.status_code == 404, unknown.text
                assert scene.new_run(), "sessions of workers reach the new primary"
                return scene.sound()


def full_disk(suite):
    """The disk of the tables is full, then there is room again (F28)."""
    suite.need_namespaces()
    with Cluster() as cluster, postgres.small_disk(cluster, "48m") as disk:
        with cluster.connect("postgres") as pg:
            pg.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            pg.execute("CREATE DATABASE fault_full_disk TABLESPACE small")
        with Scene(suite, "full_disk", cluster, uri=cluster.uri("fault_full_disk")) as scene:
            for round_ in range(suite.times(1, 4)):
                room = os.statvfs(disk)
                filler = os.path.join(disk, "filler")
                with contextlib.suppress(OSError), open(filler, "wb") as f:
                    os.posix_fallocate(f.fileno(), 0, max(1, room.f_bavail * room.f_bsize - 65536))
                tries = scene.stat("sluice_window_retries_total")
                wait_until(lambda: scene.stat("sluice_window_retries_total") > tries + 2, 90,
                           "windows fail")
                scene.accepts()
                scene.has_backlog()
                scene.answers_reads()
                os.unlink(filler)
                postgres.remount(disk, f"{128 + round_ * 64}m")
                scene.applies()
            wait_until(lambda: scene.stat("sluice_backlog_seconds") < 3, 60, "it catches up")
            log = scene.server.output()
            assert "sqlstate=53100" in log, "no window met the full disk"
            return scene.sound()


SLOTS = 20


def no_connections(suite):
    """Somebody else has all of max_connections; sessions lost meanwhile come back by themselves (F7)."""
    with Cluster({"max_connections": str(SLOTS + 3), "superuser_reserved_connections": "3"}) \
            as cluster:
        with cluster.connect("postgres") as pg:
            pg.execute("CREATE ROLE app LOGIN")
            pg.execute("CREATE DATABASE fault_no_connections OWNER app")
        uri = cluster.uri("fault_no_connections").replace("tester@", "app@")
        with Scene(suite, "no_connections", cluster, uri=uri) as scene:
            for _ in range(suite.times(1, 10)):
                taken = take_all(cluster, uri)
                scene.survives()
                tries = scene.server.output().count("too many clients") + \
                    scene.server.output().count("remaining connection slots")
                assert tries > 0, "no attempt met the limit"
                for one in taken:
                    one.close()
                scene.is_ready(True)
            return scene.sound()


def take_all(cluster, uri):
    """Ends the program's sessions and takes their places, until all are taken."""
    # It counts as one, and stays: its place would be free for the program.
    admin = cluster.connect("fault_no_connections")
    taken = [admin]

    def take():
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE application_name LIKE 'sluice %'")
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(uri))
        return len(taken) == SLOTS

    wait_until(take, 60, "every connection is taken")
    return taken


def held_locks(suite):
    """Somebody holds a lock on what a window needs: started over, nothing else waits for it (F10)."""
    locks = ["LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE",
             "LOCK TABLE latest_metrics IN SHARE MODE",
             "LOCK TABLE runs IN ACCESS EXCLUSIVE MODE",
             "SELECT 1 FROM runs FOR UPDATE",
             "SELECT 1 FROM sluice.positions FOR UPDATE"]
    with Scene(suite, "held_locks", suite.cluster) as scene:
        for lock in locks:
            tries = scene.stat("sluice_window_retries_total")
            with postgres.holding(scene.uri, lock):
                wait_until(lambda: scene.stat("sluice_window_retries_total") > tries + 2, 60,
                           f"windows start over: {lock}")
                scene.accepts()
                scene.has_backlog(suite.times(1, 20))
                scene.timed("a read", 2.3, lambda: scene.answers_reads())
                if "runs IN ACCESS" in lock:
                    scene.refuses_unknown_runs()
            scene.applies()
            wait_until(lambda: scene.stat("sluice_backlog_seconds") < 3, 60, "it catches up")
        return scene.sound()


def stock_beside(suite):
    """A stock server writes the same runs at the same time: no deadlock, no lost update (F10)."""
    with Scene(suite, "stock_beside", suite.cluster, clients=2, rest_s=0.05) as scene, \
            Stock(scene.uri) as stock:
        other = Steady(stock.url, scene.runs, f"{suite.seed}/stock", clients=3, rest_s=0).start()
        try:
            before = deadlocks(scene)
            wait_until(lambda: other.acks >= suite.times(12, 3000), 900, "stock's acks")
        finally:
            other.stop()
        assert set(other.statuses) == {200}, dict(other.statuses)
        scene.load.stop()
        scene.load.ledger.add(other.ledger)
        ledger = scene.load.ledger
        wait_until(lambda: scene.stat("sluice_backlog_points") == 0, 60, "no backlog")
        with scene.connect() as pg:
            problems = oracle.check(pg, ledger)
        assert not problems, "\n".join(problems)
        assert set(scene.load.statuses) == {200}, dict(scene.load.statuses)
        assert scene.stat("sluice_deadletter_points_total") == 0
        assert deadlocks(scene) == before, "PostgreSQL had to end deadlocks"
        suite.verified += ledger.acked_count()
        return f"{scene.load.statuses[200]} acks beside {other.statuses[200]} of stock's"


def deadlocks(scene):
    with scene.connect() as pg:
        return pg.execute("SELECT deadlocks FROM pg_stat_database"
                          " WHERE datname = current_database()").fetchone()[0]


def set_head(scene, head):
    with scene.connect() as pg:
        pg.execute("UPDATE alembic_version SET version_num = %s", (head,))


def holds(scene):
    """Flushing holds and says so; accepting goes on; no row comes."""
    scene.is_ready(False, "[-]flushing: held")
    wait_until(lambda: scene.stat("sluice_flusher_held") == 2, 60, "both flushers hold")
    scene.accepts()
    scene.has_backlog(scene.suite.times(2, 30))
    with scene.connect() as pg:
        count = pg.execute("SELECT count(*) FROM metrics").fetchone()[0]
        scene.accepts()
        assert pg.execute("SELECT count(*) FROM metrics").fetchone()[0] == count, "rows came"


def unknown_head(suite):
    """A revision that nobody knows stands in alembic_version under load: held, alerted, resumed (F12)."""
    with Scene(suite, "unknown_head", suite.cluster) as scene:
        for _ in range(suite.times(1, 5)):
            set_head(scene, "ffffffffffff")
            holds(scene)
            set_head(scene, HEAD)
            scene.is_ready(True)
            scene.applies()
        return scene.sound()


DOWNGRADE = f"""
    ALTER TABLE jobs DROP COLUMN next_attempt_at, DROP COLUMN scoped_permissions,
        DROP COLUMN token_hash, DROP COLUMN progress_updated_at, DROP COLUMN progress,
        DROP COLUMN status_message, DROP COLUMN lease_expires_at, DROP COLUMN executor_backend;
    DROP TABLE job_locks; DROP TABLE scheduler_leases;
    ALTER TABLE metrics ALTER COLUMN step SET DEFAULT 0;
    UPDATE alembic_version SET version_num = '{PARENT}'"""


def upgrade(suite):
    """MLflow's own `mlflow db upgrade` runs its last migration under load (F12)."""
    with Scene(suite, "upgrade", suite.cluster) as scene:
        with psycopg.connect(scene.uri) as pg:
            # What that migration made is undone, in one transaction, as a migration is; it touches
            # metrics as well, so that it meets the windows under way.
            pg.execute(DOWNGRADE)
        holds(scene)
        uri = scene.uri.replace("postgresql://", "postgresql+psycopg://", 1)
        done = subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", uri], check=False,
                              env=clean_environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        with scene.connect() as pg:
            assert pg.execute("SELECT version_num FROM alembic_version").fetchone()[0] == HEAD
        scene.is_ready(True)
        return scene.sound()


def slow_database(suite):
    """PostgreSQL is slow: 429 with Retry-After by age and by bytes, reads go on, then all is taken (F28)."""
    for name, args, word in [("slow_age", ["--backlog-max-age", "1s"], "backlog_max_age"),
                             ("slow_bytes", ["--journal-max-bytes", "8MiB"], "journal_max_bytes")]:
        how = {} if name == "slow_age" else {"rest_s": 0, "batch_share": 1.0}
        with Scene(suite, name, suite.cluster, args=args, **how) as scene:
            if name == "slow_bytes":
                # Far more points a request: the budget is filled within seconds.
                scene.load.batch_points = 1000
            with postgres.holding(scene.uri, "LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE"):
                answer = wait_until(lambda: refused(scene), 120, f"429 by {word}")[0]
                assert word in answer.text, answer.text
                assert int(answer.headers["Retry-After"]) >= 0, answer.headers
                assert scene.stat("sluice_refused_busy_total") > 0
                scene.answers_reads()
                disk = scene.stat("sluice_journal_disk_bytes")
                assert disk <= 256 << 20 if name == "slow_age" else disk <= 8 << 20, disk
            wait_until(lambda: scene.log_metric(scene.runs[0]).status_code == 200, 60,
                       "writes are taken again")
            figures = scene.sound(refusals=(429,))
    return figures


def refused(scene):
    answer = scene.log_metric(scene.runs[0])
    assert answer.status_code in (200, 429), answer.text
    # It is no part of the ledger, but is one point, and known to the oracle as sent.
    scene.load.clients[0].ledger.sent(scene.runs[0], [("k", 1.0, 1, 0)])
    # In a list, because an answer above 399 counts as false.
    return [answer] if answer.status_code == 429 else None


def clock_jumps(suite):
    """The wall clock jumps by hours and days, both ways: no order, no expiry depends on it (F22)."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        raise Skip("libfaketime is not installed")
    # jemalloc asks for the time while it starts, which libfaketime cannot bear.
    plain = os.path.join(os.path.dirname(suite.binary), "plain", "sluice")
    if not os.path.exists(plain):
        raise Skip(f"{plain} is not built")
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        clock = os.path.join(folder, "clock")
        env = {"LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": clock,
               "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        set_clock(clock, 0)
        with Scene(suite, "clock_jumps", suite.cluster, env=env, binary=plain) as scene:
            for hours in [1, -1, 24 * 400, -24 * 4000, 0] * suite.times(1, 6):
                set_clock(clock, hours * 3600)
                wait_until(lambda: abs(wall_of(scene) - time.time() - hours * 3600) < 60, 30,
                           "its clock has jumped")
                scene.accepts()
                scene.applies()
                scene.is_ready(True)
                wait_until(lambda: scene.stat("sluice_backlog_seconds") < 5, 60, "no false age")
            dropped = scene.stat("sluice_connections_dropped_total")
            assert dropped == 0, f"{dropped} connections were dropped for a timeout"
            return scene.sound()


def set_clock(path, seconds):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(f"{seconds:+d}s\n")
    os.rename(path + ".new", path)


def wall_of(scene):
    """What time the program thinks it is."""
    answer = scene.post("runs/update", run_id=scene.runs[0], status="RUNNING")
    assert answer.status_code == 200, answer.text
    return email.utils.parsedate_to_datetime(answer.headers["date"]).timestamp()
