#!/usr/bin/env python3
"""The load suite: overload, retry storms and soak, by build/sluice-loadtest.

    python tests/load/run.py [BINARY] [--seconds 4] [--only NAME]...
    python tests/load/run.py [BINARY] --soak SECONDS

Each scene starts the program on a database of its own, lets the load generator blow at it, and
has it verify: every acked point is stored exactly once, nothing was invented, latest_metrics is
right. --seconds is the length of one measurement; figures of time are printed and never judged,
because machines are noisy. What is judged holds at any speed.

  replays        30 % of all requests repeat an earlier one: no error, no point twice
  outages        PostgreSQL is killed and comes back, then the program: all clients reconnect and
                 repeat their last sixteen requests at once
  overload       three times the peak: refusals are 429 with Retry-After and nothing else, memory
                 is bounded, what was accepted is stored, afterwards the server is well
  patience       (with --only) PostgreSQL away for 40 s while the journal is full: who gives up?
  one_run        64 connections log to one run out of order
  secured        https and a password, ten batches of a run at once, system metrics; an authority that
                 nobody trusts is not spoken to
  pause          a server that stands still for a second: the generator's p99 is what wrk2's way of
                 measuring (corrected.py) gives, which one from the send of a request is not
  any_server     the generator works against a stock MLflow server, and its verify agrees with it
  calm           the soak scenario, a minute of it in short
  caught_*       the suite itself: a database that loses, alters, doubles points or forgets
                 latest_metrics must be found out

Needs psycopg. Last line: `N passed, N failed`, one for each line above it.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))

import psycopg  # noqa: E402
import requests  # noqa: E402

from certificates import Authority  # noqa: E402
from cluster import Cluster  # noqa: E402
from corrected import Corrected  # noqa: E402
from server import ROOT, Sluice, Stock, clean_environment, free_port, wait_until  # noqa: E402

GENERATOR = os.path.join(ROOT, "build/sluice-loadtest")
SCENARIOS = os.path.join(ROOT, "loadtest/scenarios")
MIB = 1 << 20


class Storm:
    """One run of the generator. start() at once, end() waits and gives its JSON."""

    def __init__(self, scene, scenario, *flags):
        self.path = os.path.join(scene.folder, f"result{len(scene.storms)}.json")
        self.command = [GENERATOR, os.path.join(SCENARIOS, scenario + ".conf"),
                        "--url", scene.url, "--pg-uri", scene.uri, "--json", self.path,
                        "--no-progress", "--verify", "--experiment", f"load{len(scene.storms)}",
                        *scene.watched(), *flags]
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        env=clean_environment())
        scene.storms.append(self)

    def end(self, limit_s=600, code=0):
        output, _ = self.process.communicate(timeout=limit_s)
        assert self.process.returncode == code, \
            f"exit code {self.process.returncode}, not {code}:\n{output}"
        with open(self.path, encoding="utf-8") as f:
            return json.load(f)


class Scene:
    """A database, a server on a port that stays, and the storms at it."""

    def __init__(self, suite, name, args=(), cluster=None, env=None):
        self.cluster = cluster or suite.cluster
        self.folder = tempfile.mkdtemp(prefix="load-")
        self.uri = self.cluster.create_database("load_" + name)
        self.storms = []
        port, admin = free_port(), free_port()
        self.server = Sluice(self.uri, data_dir=os.path.join(self.folder, "data"),
                             args=["--listen", f"127.0.0.1:{port}", "--admin-listen",
                                   f"127.0.0.1:{admin}", *args], env=env, binary=suite.binary)

    def __enter__(self):
        self.server.start()
        self.url = self.server.url
        return self

    def __exit__(self, kind, *unused):
        try:
            for storm in self.storms:
                if storm.process.poll() is None:
                    storm.process.kill()
                    storm.process.wait()
            if kind:
                print(self.server.tail())
            self.server.__exit__(kind, *unused)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def watched(self):
        return ["--pid", str(self.server.process.pid), "--admin-url", self.server.admin_url]

    def storm(self, scenario, *flags):
        return Storm(self, scenario, *flags)

    def well(self):
        """After the storm: no backlog, no dead letters, every door answers."""
        wait_until(lambda: self.server.stat("sluice_backlog_points") == 0, 120, "no backlog")
        assert self.server.stat("sluice_deadletter_points_total") == 0, "dead letters"
        assert requests.get(self.server.admin_url + "/readyz", timeout=10).status_code == 200
        answer = requests.post(self.url + "/api/2.0/mlflow/runs/create", timeout=30,
                               json={"experiment_id": "0"})
        assert answer.status_code == 200, answer.text


class Suite:
    def __init__(self, binary, seconds):
        self.binary = os.path.abspath(binary)
        self.seconds = seconds
        self.passed = 0
        self.failed = 0
        self.cluster = None

    def attempt(self, scene):
        begin = time.monotonic()
        try:
            what = scene(self)
            is_good = True
        except Exception:  # whatever goes wrong is one failure, and the next scene runs
            traceback.print_exc(file=sys.stdout)
            what, is_good = "", False
        self.passed += is_good
        self.failed += not is_good
        print(f"{'ok  ' if is_good else 'FAIL'} {time.monotonic() - begin:6.1f} s  "
              f"{scene.__name__}: {what}", flush=True)


def expect(figures, **wanted):
    """Figures that must be exactly so."""
    wrong = {name: figures[name] for name, value in wanted.items() if figures[name] != value}
    assert not wrong, f"{wrong} instead of {wanted}"


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


# Few points a request: what is accepted in a second is applied in about as much.
SMALL = ["--mix", "log-metric=9,log-batch=1", "--batch", "20"]


def replays(suite):
    """F16: 30 % of all requests replayed."""
    with Scene(suite, "replays") as scene:
        p99 = {"0%": [], "30%": []}  # in turns, so that what disturbs one disturbs the other
        again = replayed = total = 0
        for _ in range(3):
            for share in p99:
                figures = scene.storm("retry-storm", "--replay", share, "--loop", "open",
                                      "--rate", "1000", "--duration", f"{suite.seconds}s",
                                      *SMALL).end()["figures"]
                expect(figures, errors=0, refused=0, abandoned=0, answers_5xx=0, answers_4xx=0)
                p99[share].append(figures["service_p99"])
                if share == "30%":
                    total += figures["requests"]
                    replayed += figures["replays"]
                    again += figures["points_again"]
        assert 0.25 < replayed / total < 0.35, f"{replayed} of {total} were replays"
        assert again > 0
        scene.well()
        ratio = statistics.median(a / b for a, b in zip(p99["30%"], p99["0%"]))
        return (f"{replayed:.0f} of {total:.0f} requests replayed, {again:.0f} points again; p99 "
                f"{ms(p99['30%'][-1])} with, {ms(p99['0%'][-1])} without, median ratio {ratio:.2f} "
                f"(last: replays alone {ms(figures['replay_p99'])}, others "
                f"{ms(figures['first_p99'])})")


def outages(suite):
    """F16: every client replays at once when what was away is back."""
    with Cluster(fsync=True) as cluster:
        with Scene(suite, "outages", cluster=cluster) as scene:
            storm = scene.storm("outage", "--duration", f"{max(16, 2 * suite.seconds)}s")
            wait_until(lambda: scene.server.stat("sluice_accepted_points_total") > 2000, 30, "load")
            cluster.stop(signal.SIGQUIT)
            accepted = scene.server.stat("sluice_accepted_points_total")
            wait_until(lambda: scene.server.stat("sluice_accepted_points_total") > accepted + 5000,
                       30, "points accepted without PostgreSQL")
            cluster.start()
            wait_until(lambda: scene.server.stat("sluice_flusher_connected") > 0, 60, "flushers")
            accepted = scene.server.stat("sluice_accepted_points_total")
            wait_until(lambda: scene.server.stat("sluice_accepted_points_total") > accepted + 5000,
                       30, "points accepted again")
            scene.server.kill()
            scene.server.start()
            figures = storm.end()["figures"]
            expect(figures, errors=0, abandoned=0, answers_4xx=0)
            assert figures["broken"] > 0, "nobody noticed the kill"
            assert figures["replays"] >= 100, f"only {figures['replays']} replays"
            scene.well()
            return (f"{figures['points_acked']:.0f} points acked, {figures['broken']:.0f} attempts "
                    f"broke, {figures['answers_5xx']:.0f} answered 5xx, {figures['replays']:.0f} "
                    f"replays at once; latency p50 {ms(figures['p50'])}, max "
                    f"{figures['max']:.1f} s")


# A journal that is soon full, and one flusher: the peak is what PostgreSQL takes. Small windows,
# because room in the journal comes with commits: at some ten thousand points a second a window
# of 200 000, as a backlog makes them, would be longer than a measurement.
NARROW = ["--journal-max-bytes", "8MiB", "--journal-segment-bytes", "1MiB", "--ring-bytes", "4MiB",
          "--flushers", "1", "--flush-rows", "2500"]
# Long names, so that the journal is full of few points and soon drained again.
LONG = ["--key-bytes", "200", "--keys", "100", "--batch", "100"]


def fill(scene):
    """Points until the journal has no room."""
    before = scene.server.stat("sluice_refused_busy_total")
    storm = scene.storm("overload-3x", *LONG, "--loop", "closed", "--jobs", "16", "--retry",
                        "--drain", "1s", "--no-verify")
    wait_until(lambda: scene.server.stat("sluice_refused_busy_total") > before, 60, "refusals")
    storm.process.send_signal(signal.SIGTERM)
    return storm.end()["figures"]


def bounded(figures):
    """What holds at any rate: refusals are 429 with Retry-After, and memory is what it may be."""
    expect(figures, errors=0, answers_5xx=0, answers_4xx=0, broken=0, no_retry_after=0)
    # 4 MiB of ring, two windows of 10 000 points, 256 connections and what the allocator keeps.
    assert figures["rss_peak"] < 96 * MIB, f"{figures['rss_peak'] / MIB:.0f} MiB"


def overload(suite):
    """F15: three times the peak."""
    with Scene(suite, "overload", args=NARROW) as scene:
        times = ["--duration", f"{2 * suite.seconds}s", "--warmup", "2s"]
        ratios, refused = [], 0
        for _ in range(2):
            bounded(fill(scene))
            # Its clients wait as they are told, so that it is not refusals that are measured.
            peak = scene.storm("overload-3x", *LONG, "--loop", "closed", "--retry",
                               *times).end()["figures"]
            bounded(peak)
            bounded(fill(scene))
            rate = max(3 * peak["goodput"] / 100, 20)
            over = scene.storm("overload-3x", *LONG, "--rate", f"{rate:.1f}",
                               *times).end()["figures"]
            bounded(over)
            assert over["answers_429"] > 0, f"nothing was refused at {rate:.0f} requests/s"
            ratios.append(over["goodput"] / max(peak["goodput"], 1))
            refused += over["answers_429"]
            scene.well()
        ratios = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        return (f"peak {peak['goodput']:.0f} points/s, offered {100 * rate:.0f}, goodput "
                f"{over['goodput']:.0f}: {ratios} x peak; {refused:.0f} refused, all 429 with "
                f"Retry-After; p99 accepted {ms(over['service_p99'])}, refused "
                f"{ms(over['refusal_p99'])}; rss peak {over['rss_peak'] / MIB:.0f} MiB")


def patience(suite):
    """F15: the journal full for as long as PostgreSQL is away; who gives up?"""
    with Cluster(fsync=True) as cluster, Scene(suite, "patience", NARROW, cluster) as scene:
        storm = scene.storm("overload-3x", *LONG, "--loop", "closed", "--retry", "--jobs", "32",
                            "--duration", "60s", "--drain", "120s")
        wait_until(lambda: scene.server.stat("sluice_accepted_points_total") > 2000, 30, "load")
        cluster.stop(signal.SIGQUIT)
        time.sleep(40)  # the fault itself lasts that long
        cluster.start()
        figures = storm.end()["figures"]
        bounded(figures)
        scene.well()
        return (f"{figures['refused']:.0f} of {figures['requests']:.0f} requests given up, "
                f"{figures['answers_429']:.0f} attempts refused, longest {figures['max']:.0f} s")


def one_run(suite):
    """F15: one run, 64 connections, out of order."""
    with Scene(suite, "one_run") as scene:
        figures = scene.storm("one-run", "--requests", f"{500 * suite.seconds}", "--replay",
                              "10%").end()["figures"]
        expect(figures, errors=0, abandoned=0, answers_5xx=0, answers_4xx=0)
        assert figures["points_again"] > 0
        scene.well()
        return (f"{figures['points_acked']:.0f} points of one run, {figures['goodput']:.0f} a "
                f"second, p99 {ms(figures['p99'])}")


def pause(suite):
    """No coordinated omission: a second that nobody is served in is a second to all who were due in it."""
    with Scene(suite, "pause") as scene:
        seconds = 2 * suite.seconds
        # Four connections: few requests are sent, and many are due, while it stands still.
        other = Corrected(scene.url, connections=4, rate=200, seconds=seconds).start()
        storm = scene.storm("thousand-jobs", "--jobs", "4", "--rate", "200", "--arrivals", "constant", "--loop",
                            "open", "--mix", "log-metric=1", "--warmup", "0s", "--duration", f"{seconds}s")
        wait_until(lambda: scene.server.stat("sluice_accepted_points_total") > 200, 30, "load")
        scene.server.process.send_signal(signal.SIGSTOP)
        time.sleep(1)  # the fault itself lasts that long
        scene.server.process.send_signal(signal.SIGCONT)
        figures = storm.end()["figures"]
        other.end()
        expect(figures, errors=0, abandoned=0)

        def agree(p99):
            return abs(p99 - other.p99()) < 0.15 * other.p99()

        said = (f"p99 {ms(figures['p99'])}, corrected as wrk2 does {ms(other.p99())}; from the send "
                f"{ms(figures['service_p99'])} and {ms(other.p99_from_send())}")
        assert agree(figures["p99"]), said
        assert not agree(figures["service_p99"]) and not agree(other.p99_from_send()), \
            f"the scene tells nothing: {said}"
        return said


def secured(suite):
    """TLS, basic auth and asynchronous mode at once, in JSON and in msgpack."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="load-"))
    try:
        authority = Authority(folder, "load")
        cert, key = authority.sign("server")
        ini = folder / "auth.ini"
        uri = suite.cluster.create_database("load_users")
        ini.write_text("[mlflow]\ndefault_permission = READ\nadmin_username = anna\n"
                       f"admin_password = sesame-1234-open\ndatabase_uri = {uri}\n"
                       "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n")
        args = ["--tls-cert", str(cert), "--tls-key", str(key), "--auth", "basic", "--auth-config", str(ini)]
        with Scene(suite, "secured", args, env={"MLFLOW_FLASK_SERVER_SECRET_KEY": "of the test"}) as scene:
            plain, scene.url = scene.url, scene.url.replace("//", "//anna:sesame-1234-open@")
            points = 0
            for body in ("json", "msgpack"):
                figures = scene.storm("asynchronous", "--ca-file", str(authority.file), "--body", body,
                                      "--mix", "log-batch=3,system-metrics=1", "--warmup", "0s",
                                      "--interval", "50ms", "--duration", f"{suite.seconds}s").end()["figures"]
                expect(figures, errors=0, refused=0, abandoned=0, answers_4xx=0)
                points += figures["points_acked"]
            with psycopg.connect(scene.uri) as pg:
                system = pg.execute("SELECT count(*) FROM metrics WHERE key LIKE 'system/%'").fetchone()[0]
            assert 0 < system < points
            answer = subprocess.run([GENERATOR, "--url", scene.url, "--duration", "1s"], text=True,
                                    capture_output=True, env=clean_environment(), timeout=60, check=False)
            assert answer.returncode == 1 and "unable to get local issuer" in answer.stderr, answer
            answer = subprocess.run([GENERATOR, "--url", plain, "--insecure", "--duration", "1s"], text=True,
                                    capture_output=True, env=clean_environment(), timeout=60, check=False)
            assert answer.returncode == 1 and "status 401" in answer.stderr, answer
            return f"{points:.0f} points over TLS, {system} of them of the machine"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class StockScene:
    """What Storm needs of a scene, around a stock server."""

    def __init__(self, uri, url, folder):
        self.uri, self.url, self.folder, self.storms = uri, url, folder, []

    def watched(self):
        return []


def any_server(suite):
    """The generator and its verify against MLflow's own server."""
    uri = suite.cluster.create_database("load_stock")
    folder = tempfile.mkdtemp(prefix="load-")
    try:
        with Stock(uri) as server:
            storm = Storm(StockScene(uri, server.url, folder), "digits", "--duration", "3s",
                          "--jobs", "4", "--special", "5%", "--no-retry")
            figures = storm.end()["figures"]
            expect(figures, errors=0, refused=0, abandoned=0)
            assert figures["points_acked"] > 0 and figures["api_points"] > 0
            return f"{figures['points_acked']:.0f} points in stock MLflow, all as they should be"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def calm(suite):
    """The soak scenario in short: its calls, its curve, its end."""
    with Scene(suite, "calm") as scene:
        seconds = 2 * suite.seconds
        result = scene.storm("soak", "--duration", f"{seconds}s", "--warmup", f"{seconds // 3}s",
                             "--wave", f"{suite.seconds}s", "--sample", "500ms", "--body",
                             "msgpack").end()
        figures = result["figures"]
        assert figures["rss_first"] > 0 and figures["fds_first"] > 0, "nobody looked"
        assert len(result["samples"]) >= seconds
        scene.well()
        return f"{figures['done']:.0f} requests, rss {figures['rss_last'] / MIB:.1f} MiB"


# --- the suite itself ------------------------------------------------------------------------------

TRIGGER = """
CREATE FUNCTION breakage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
CREATE TRIGGER breakage {when} ON {table} FOR EACH ROW EXECUTE FUNCTION breakage();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER breakage;
"""


def must_be_caught(suite, name, figure, breakage):
    # Small windows: a repeat, and the next point of a series, must meet rows and not each other in one.
    with Scene(suite, name, args=["--flush-interval", "5ms", "--flush-interval-busy", "0s"]) as scene:
        with psycopg.connect(scene.uri, autocommit=True) as pg:
            pg.execute(breakage)
        result = scene.storm("retry-storm", "--requests", "2000", "--jobs", "4", *SMALL,
                             "--verify-wait", "1s").end(code=3)
        assert result["figures"][figure] > 0, f"{figure} is 0: {result['figures']}"
        return f"{figure} {result['figures'][figure]:.0f}: {result['first_problem'][:110]}"


def caught_loss(suite):
    """Rows that PostgreSQL swallows."""
    return must_be_caught(suite, "loss", "lost", TRIGGER.format(
        table="metrics", when="BEFORE INSERT",
        body="IF NEW.step % 20 = 7 THEN RETURN NULL; END IF; RETURN NEW;"))


def caught_change(suite):
    """Rows that come to lie with another value, if only by the last bit."""
    return must_be_caught(suite, "change", "invented", TRIGGER.format(
        table="metrics", when="BEFORE INSERT",
        body="IF NEW.step % 20 = 7 THEN NEW.value = NEW.value * 1.0000000000000002::float8; "
             "END IF; RETURN NEW;"))


def caught_double(suite):
    """Replays in a database without MLflow's primary key."""
    return must_be_caught(suite, "double", "doubled",
                          "ALTER TABLE metrics DROP CONSTRAINT metric_pk")


def caught_latest(suite):
    """latest_metrics that stays what it first was."""
    return must_be_caught(suite, "latest", "latest_wrong", TRIGGER.format(
        table="latest_metrics", when="BEFORE UPDATE", body="RETURN OLD;"))


SCENES = [replays, outages, overload, one_run, secured, pause, any_server, calm, caught_loss, caught_change,
          caught_double, caught_latest]
LONG_SCENES = [patience]  # with --only


# --- soak ------------------------------------------------------------------------------------------

def soak(binary, seconds):
    """The hour of `make soak`: exits with the generator's code."""
    suite = Suite(binary, seconds)
    warmup = min(600, seconds // 4)
    path = os.path.join(ROOT, "build/soak.json")
    with Cluster(fsync=True) as suite.cluster:
        # A ring that is soon used from end to end: its pages count as growth until then.
        with Scene(suite, "soak", args=["--ring-bytes", "4MiB"]) as scene:
            storm = subprocess.run(
                [GENERATOR, os.path.join(SCENARIOS, "soak.conf"), "--url", scene.url, "--pg-uri",
                 scene.uri, "--verify", "--json", path, "--duration", f"{seconds}s", "--warmup",
                 f"{warmup}s", "--wave", f"{min(300, max(10, seconds // 10))}s",
                 "--html", os.path.join(ROOT, "build/soak.html"), *scene.watched(),
                 "--fail-if", "rss_slope > 1MiB", "--fail-if", "fd_growth > 0"],
                env=clean_environment(), check=False)
            if storm.returncode in (0, 3):
                scene.well()
            print(f"result: {path}; {'passed' if storm.returncode == 0 else 'FAILED'}")
            return storm.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(ROOT, "build/sluice"))
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--only", action="append", help="a scene")
    parser.add_argument("--soak", type=int, metavar="SECONDS", help="the soak, and nothing else")
    options = parser.parse_args()
    if options.soak:
        sys.exit(soak(options.binary, options.soak))
    suite = Suite(options.binary, options.seconds)
    wanted = [s for s in SCENES + LONG_SCENES if s.__name__ in options.only] if options.only \
        else SCENES
    with Cluster(fsync=True) as suite.cluster:
        for scene in wanted:
            suite.attempt(scene)
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed or not suite.passed else 0)


if __name__ == "__main__":
    main()
