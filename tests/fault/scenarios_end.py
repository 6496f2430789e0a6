"""PostgreSQL ends, is killed, or stands still; and the program starts and stops while it does."""

import contextlib
import os
import signal
import subprocess
import time

import psycopg

import postgres
from scene import ARGS, PATIENCE_S, Scene
from server import clean_environment, wait_until


def restarts(suite):
    """Fast, immediate and smart shutdown, and kill -9 of the postmaster: each survived by itself (F7)."""
    ways = [("fast", lambda c: c.stop(signal.SIGINT)),
            ("immediate", lambda c: c.stop(signal.SIGQUIT)),
            ("kill -9", postgres.kill_postmaster)]
    with Scene(suite, "restarts", suite.cluster) as scene:
        for _ in range(suite.times(1, 8)):
            for _, end in ways:
                end(suite.cluster)
                scene.survives()
                suite.cluster.start()
                scene.is_ready(True)
                scene.applies()
        # A smart one waits for the sessions that are there, which go on; new ones are refused.
        suite.cluster.process.send_signal(signal.SIGTERM)
        wait_until(lambda: is_refusing(scene), 30, "new sessions are refused")
        scene.accepts()
        scene.applies()
        suite.cluster.stop(signal.SIGINT)
        suite.cluster.start()
        return scene.sound()


def is_refusing(scene):
    try:
        scene.connect().close()
        return False
    except psycopg.OperationalError:
        return True


def killed_backends(suite):
    """kill -9 of a flusher's backend, which restarts all of PostgreSQL, and sessions terminated (F7)."""
    with Scene(suite, "killed_backends", suite.cluster) as scene:
        for _ in range(suite.times(2, 20)):
            victim = scene.backends("sluice flusher %")[0]
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: not os.path.exists(f"/proc/{victim}"), 30, "the backend is gone")
            scene.accepts()
            scene.is_ready(True)
            scene.applies()
        ended = 0
        for _ in range(suite.times(5, 50)):
            with scene.connect() as pg:
                pids = scene.backends()
                pg.execute("SELECT pg_terminate_backend(p) FROM unnest(%s::int[]) p", (pids,))
            ended += len(pids)
            scene.accepts(30)
        scene.is_ready(True)
        return scene.sound(more=f", {ended} sessions terminated")


def paused_backend(suite):
    """One flusher's backend stands still, with its locks: the other flusher goes on (F8)."""
    with Scene(suite, "paused_backend", suite.cluster) as scene:
        for victim in scene.backends("sluice flusher %")[:suite.times(1, 2)]:
            tries = scene.stat("sluice_window_retries_total")
            with postgres.paused([victim]):
                # It is given up after flush_timeout and a quarter, and tried on another session.
                wait_until(lambda: scene.stat("sluice_window_retries_total") > tries, 60,
                           "the hung window is given up")
                scene.accepts()
                scene.applies()
                assert scene.stat("sluice_backlog_points") > 0
            scene.is_ready(True)
            wait_until(lambda: scene.stat("sluice_backlog_seconds") < 2, 60, "it catches up")
        return scene.sound()


def paused_server(suite):
    """All of PostgreSQL stands still: nothing answers, everything is acknowledged by its kernel (F8)."""
    with Scene(suite, "paused_server", suite.cluster) as scene:
        for _ in range(suite.times(1, 10)):
            with postgres.paused(postgres.family(suite.cluster)):
                scene.survives()
                # Longer than what anybody waits: sessions are given up, new ones do not come.
                scene.has_backlog(6)
                scene.refuses_unknown_runs()
                scene.answers_reads()
                scene.accepts()
            scene.is_ready(True)
        return scene.sound()


def stopped_while_paused(suite):
    """SIGTERM while PostgreSQL stands still: ends within drain_timeout; the next start has it all (F8)."""
    with Scene(suite, "stopped_while_paused", suite.cluster) as scene:
        with contextlib.ExitStack() as fault:
            fault.enter_context(postgres.paused(postgres.family(suite.cluster)))
            scene.has_backlog()
            return scene.stops_and_returns(fault.close)


def start_alone(scene, uri):
    """The program once more, on a directory of its own; it does not get as far as serving."""
    folder = os.path.join(scene.folder, "other")
    return subprocess.Popen([scene.suite.binary, "serve", "--listen", "127.0.0.1:0",
                             "--admin-listen", "none", "--data-dir", folder, "--pg-uri", uri]
                            + ARGS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            cwd=scene.folder, env=clean_environment())


def started_without(suite):
    """A start while PostgreSQL stands still ends at SIGTERM, or with pg_connect_timeout and words (F8)."""
    with Scene(suite, "started_without", suite.cluster) as scene:
        with postgres.paused(postgres.family(suite.cluster)):
            first = start_alone(scene, scene.uri)
            begin = time.monotonic()
            said, _ = first.communicate(timeout=60)
            took = time.monotonic() - begin
            assert first.returncode == 1 and "cannot connect to PostgreSQL" in said, said
            assert took < 2 + PATIENCE_S, f"{took:.1f} s"
            second = start_alone(scene, scene.uri)
            # It waits for a server that accepts connections and does not answer.
            wait_until(lambda: is_connected(second.pid), 30, "it waits for an answer")
            begin = time.monotonic()
            second.terminate()
            second.communicate(timeout=60)
            assert time.monotonic() - begin < PATIENCE_S
        return scene.sound(more=f", given up after {took:.1f} s")


def is_connected(pid):
    """Has it a socket besides its listener's?"""
    try:
        names = [os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")]
    except FileNotFoundError:
        return False
    return sum(name.startswith("socket:") for name in names) > 2


def caught_position_first(suite):
    """The suite itself: a position committed before its rows must show as lost points."""
    env = {"SLUICE_TEST_POSITION_FIRST": "1"}
    with Scene(suite, "caught", suite.cluster, env=env) as scene:
        for _ in range(40):
            with scene.connect() as pg:
                pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                           " WHERE application_name LIKE 'sluice flusher %'")
            scene.accepts(30)
        scene.load.stop()
        scene.drains()
        lost = [p for p in scene.problems() if "acked but not stored" in p]
        assert lost, "40 lost sessions and the oracle found nothing"
        return f"caught: {lost[0]}"
