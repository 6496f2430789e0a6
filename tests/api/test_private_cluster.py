"""`sluice serve` without pg_uri: it brings its own PostgreSQL, and takes it down again."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

import psycopg
import pytest
from mlflow import MlflowClient

from server import Sluice, clean_environment, wait_until


@pytest.fixture(params=["open", "closed"])
def place(request):
    """A data_dir that the user postgres can enter, or, as in a clone below /root, cannot. Not below
    pytest's own directory: any other pytest that starts shuts that one again."""
    folder = tempfile.mkdtemp(prefix="sluice-place-")
    os.chmod(folder, 0o755 if request.param == "open" else 0o700)
    yield os.path.join(folder, "var")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(place):
    server = Sluice(None, data_dir=place)
    elsewhere = None
    try:
        server.start()
        elsewhere = data_directory(pg_uri(server))
        yield server
    finally:
        server.__exit__()
        sweep(elsewhere, place)


def sweep(data, place):
    """Removes the cluster where it could not lie below data_dir."""
    if data and not data.startswith(place):
        shutil.rmtree(os.path.dirname(data), ignore_errors=True)


def pg_uri(server):
    return subprocess.run([server.binary, "pg-uri", "--data-dir", server.data_dir], check=True,
                          capture_output=True, text=True, env=clean_environment(),
                          timeout=30).stdout.strip()


def data_directory(uri):
    with psycopg.connect(uri) as pg:
        return pg.execute("SHOW data_directory").fetchone()[0]


def postmaster(uri):
    with psycopg.connect(uri) as pg:
        backend = pg.execute("SELECT pg_backend_pid()").fetchone()[0]
        with open(f"/proc/{backend}/stat", encoding="utf-8") as f:
            return int(f.read().rpartition(")")[2].split()[1])


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def log(server, value, step):
    client = MlflowClient(server.url)
    run = client.create_run("0").info.run_id
    client.log_metric(run, "m", value, timestamp=step, step=step)
    return run


def test_it_starts_logs_stops_and_finds_its_data_again(server):
    uri = pg_uri(server)
    run = log(server, 1.5, 3)
    assert MlflowClient(server.url).get_run(run).data.metrics == {"m": 1.5}
    with psycopg.connect(uri) as pg:
        assert pg.execute("SELECT key, value, timestamp, step FROM metrics WHERE run_uuid = %s",
                          (run,)).fetchall() == [("m", 1.5, 3, 3)]
    first = postmaster(uri)

    server.stop(signal.SIGINT)
    assert not is_alive(first)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(uri).close()

    server.start()
    assert MlflowClient(server.url).get_run(run).data.metrics == {"m": 1.5}
    assert postmaster(pg_uri(server)) != first


def test_points_on_the_way_are_not_lost_by_ctrl_c(server):
    runs = [log(server, i, i + 1) for i in range(5)]
    server.stop(signal.SIGINT)
    server.start()
    client = MlflowClient(server.url)
    for i, run in enumerate(runs):
        assert client.get_run(run).data.metrics == {"m": float(i)}


def test_kill_9_leaves_a_cluster_that_the_next_start_takes_over(server):
    run = log(server, 2.5, 1)
    first = postmaster(pg_uri(server))
    server.kill()
    assert is_alive(first)
    server.start()
    assert MlflowClient(server.url).get_run(run).data.metrics == {"m": 2.5}
    last = postmaster(pg_uri(server))
    server.stop()
    # Not our child's child: the kernel may still be taking it apart when the program has ended.
    wait_until(lambda: not is_alive(first) and not is_alive(last), 10, "the postmaster is gone")


def test_a_dead_postgres_is_started_again(server):
    run = log(server, 1.0, 1)
    first = postmaster(pg_uri(server))
    os.kill(first, signal.SIGQUIT)
    wait_until(lambda: not is_alive(first), 30, "the postmaster has ended")
    client = MlflowClient(server.url)

    def is_back():
        try:
            return postmaster(pg_uri(server)) != first
        except psycopg.OperationalError:
            return False

    wait_until(is_back, 60, "a new postmaster")
    client.log_metric(run, "m", 2.0, timestamp=2, step=2)
    wait_until(lambda: client.get_run(run).data.metrics == {"m": 2.0}, 60, "the point is stored")
    assert server.process.poll() is None


def test_ctrl_c_in_a_terminal_goes_to_the_whole_group(place):
    """The terminal signals every process of the foreground group: PostgreSQL must not be in it."""
    server = Sluice(None, data_dir=place)
    elsewhere = None
    try:
        server.spawn = lambda command, env: Sluice.spawn(server, command, env,
                                                         start_new_session=True)
        server.start()
        uri = pg_uri(server)
        elsewhere = data_directory(uri)
        run = log(server, 1.0, 1)
        pid = postmaster(uri)
        assert os.getpgid(pid) != server.process.pid
        os.killpg(server.process.pid, signal.SIGINT)
        server.process.wait(timeout=60)
        assert server.process.returncode == 0 and not is_alive(pid)
        server.start()
        assert MlflowClient(server.url).get_run(run).data.metrics == {"m": 1.0}
    finally:
        server.__exit__()
        sweep(elsewhere, place)


def test_sigterm_amid_the_first_start_leaves_no_cluster_behind(place):
    server = Sluice(None, data_dir=place)
    folder = None
    try:
        server.spawn(server.command(), clean_environment())
        found = wait_until(lambda: re.search(r"PostgreSQL runs. dir=(\S+) pid=(\d+)",
                                             server.output()), 60, "the postmaster")
        server.process.send_signal(signal.SIGTERM)
        folder, pid = found[1], int(found[2])
        server.process.wait(timeout=60)
        is_left = is_alive(pid)
        if is_left:
            os.kill(pid, signal.SIGQUIT)
        assert not is_left
    finally:
        server.__exit__()  # asserts code 0
        sweep(folder, place)
