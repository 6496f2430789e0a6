"""What it costs to ask who it is: log-metric with auth = basic and without, in turns, and a stock server's.

Two Sluice servers on two databases of the same cluster, the same requests, one of them with an
Authorization header; the stock server runs its basic-auth application, as it comes: without its cache.
Logins are over before the first round: a busy machine gives the threads that hash, at their nice 19, less
time than a round has, and then the round is over before anybody was let in. Beside requests/s, which other work on
the machine moves, stand the CPU time of the server for each request, which it hardly does, and with valgrind
installed the instructions, which it does not: requests one after the other over one connection, the
difference of many and few.
"""

import concurrent.futures
import os
import re
import shutil
import statistics
import time

import requests

KEY = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "bench", "MLFLOW_AUTH_ADMIN_PASSWORD": "benchpassword"}
AUTH = ("admin", "benchpassword")


def cpu_seconds(server):
    """User and system time of the server's process so far, points into PostgreSQL included."""
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def log_in(server):
    """Until who asks is known, on whichever worker."""
    deadline = time.monotonic() + 300
    while True:
        answers = [requests.get(server.url + "/api/2.0/mlflow/users/current", auth=AUTH, timeout=120).status_code
                   for _ in range(16)]
        if set(answers) == {200}:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"no login: {answers}")


FEW, MANY = 500, 4500


def counted(uri, count, auth, args, tools):
    """Instructions of a server's life with so many requests, until every point is in PostgreSQL."""
    env = KEY if auth else None
    server = tools.Sluice(uri, args=["--workers", "1", *args, *(["--auth", "basic"] if auth else [])], env=env)
    server.wrapper = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    server.start_limit_s = 600  # it runs some thirty times slower
    with server, requests.Session() as session:
        session.auth = auth
        if auth:
            log_in(server)
        experiment = {"experiment_id": "0"}
        run = session.post(server.url + "/api/2.0/mlflow/runs/create", json=experiment, timeout=120).json()
        point = {"run_id": run["run"]["info"]["run_id"], "key": "loss", "value": 1.0}
        for n in range(count):
            answer = session.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=120,
                                  json={**point, "timestamp": 1700000000000 + n, "step": n})
            assert answer.status_code == 200, answer.text
        server.stop()  # no look at /metrics before that: it costs what hundreds of requests do
        return int(re.findall(r"I\s+refs:\s+([\d,]+)", server.output())[-1].replace(",", ""))


def instructions(cluster, options, tools, say):
    """{"open": instructions of a request without users, "basic": with}"""
    found = {}
    for who, auth in (("open", None), ("basic", AUTH)):
        uri = cluster.create_database("bench_counted")
        # Makes the schema, and hashes the first admin's password.
        with tools.Sluice(uri, args=["--auth", "basic"] if auth else [], env=KEY):
            pass
        totals = [counted(uri, count, auth, options.args.split(), tools) for count in (FEW, MANY)]
        found[who] = (totals[1] - totals[0]) / (MANY - FEW)
        cluster.drop_database("bench_counted")
    say(f"    instructions of a request: open {found['open']:,.0f}, basic {found['basic']:,.0f}, "
        f"{found['basic'] / found['open']:.3f} times as many")
    return found


def stock_environment(uri, folder):
    path = os.path.join(folder, "basic_auth.ini")
    uri = uri.replace("postgresql://", "postgresql+psycopg://", 1).replace("%", "%%")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[mlflow]\ndefault_permission = READ\nadmin_username = admin\ndatabase_uri = {uri}\n")
    return {**KEY, "MLFLOW_AUTH_CONFIG_PATH": path}


def measure_users(cluster, folder, options, tools, say):
    """{"open": rounds without users, "basic": with, "stock": with, stock MLflow}"""
    names = ("bench_open", "bench_basic")
    uris = [cluster.create_database(name) for name in names]
    args = (options.args.split(), [*options.args.split(), "--auth", "basic"])
    rounds = {"open": [], "basic": []}
    with tools.Sluice(uris[0], args=args[0]) as open_server, \
            tools.Sluice(uris[1], args=args[1], env=KEY) as basic_server:
        files = [tools.make_runs(cluster, uri, tools.folder(folder, name), name)[1]
                 for uri, name in zip(uris, names)]
        log_in(basic_server)
        for number in range(options.rounds):
            turns = [("open", open_server, files[0], None), ("basic", basic_server, files[1], AUTH)]
            # Who comes second finds PostgreSQL at work on what the first one wrote.
            for who, server, runs, auth in turns if number % 2 else reversed(turns):
                before = cpu_seconds(server)
                result = tools.wrk("log_metric.lua", server.url, options.seconds, runs,
                                   (number + 1) * 100_000_000, auth=auth)
                tools.drained(server)
                result["cpu_us"] = (cpu_seconds(server) - before) * 1e6 / result["requests"]
                rounds[who].append(result)
            say("    round {}: ".format(number + 1) + ", ".join(
                f"{who} {results[-1]['per_second']:,.0f}/s at {results[-1]['cpu_us']:.1f} us of CPU"
                for who, results in rounds.items()))
        cpu = [b["cpu_us"] / o["cpu_us"] for b, o in zip(rounds["basic"], rounds["open"])]
        say(f"    CPU time of a request, basic to open: {statistics.median(cpu):.3f}")
        found = {who: tools.median(results) for who, results in rounds.items()}
        found["hashed"] = basic_server.stat("sluice_auth_checks_total")
    for name in names:
        cluster.drop_database(name)
    if shutil.which("valgrind"):
        found["instructions"] = instructions(cluster, options, tools, say)
    if not options.no_stock:
        found["stock"] = measure_stock(cluster, folder, options, tools)
        say(f"    stock, basic-auth: {found['stock']['per_second']:,.1f}/s")
    return found


def measure_stock(cluster, folder, options, tools):
    uri = cluster.create_database("bench_stock_basic")
    with tools.Stock(uri, workers=4, env=stock_environment(uri, folder),
                     args=["--app-name", "basic-auth"]) as server:
        runs = tools.make_runs(cluster, uri, tools.folder(folder, "stock_basic"), "bench_stock_basic")[1]
        warm(server.url)
        return max((stock_rate(server.url, runs, count, max(options.seconds, 12)) for count in (4, 8)),
                   key=lambda result: result["per_second"])


LEAST_ANSWERS = 40


def stock_rate(url, runs_file, connections, seconds):
    """By counting answers, not by wrk: a request hashes several times, so a busy machine may not answer one
    within a round, and nothing would be measured. At least LEAST_ANSWERS are waited for, ten minutes at most."""
    with open(runs_file, encoding="utf-8") as f:
        runs = f.read().split()
    begin, taken = time.monotonic(), []

    def work(number):
        with requests.Session() as session:
            session.auth = AUTH
            for step in range(number, 10 ** 6, connections):
                now = time.monotonic()
                if now - begin > 600 or (now - begin > seconds and len(taken) >= LEAST_ANSWERS):
                    return
                answer = session.post(url + "/api/2.0/mlflow/runs/log-metric", timeout=600, json={
                    "run_id": runs[step % len(runs)], "key": "loss", "value": 1.0,
                    "timestamp": 1700000000000 + step, "step": step + connections * 10 ** 7})
                assert answer.status_code == 200, answer.text
                taken.append(time.monotonic() - now)

    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    taken_ms = sorted(1e3 * t for t in taken)
    return {"requests": len(taken), "per_second": len(taken) / (time.monotonic() - begin),
            "p50_ms": taken_ms[len(taken_ms) // 2], "p99_ms": taken_ms[len(taken_ms) * 99 // 100]}


def warm(url):
    """Each of its processes imports much at its first request: that is not to be measured. When 32 answers at
    the same time take no longer than twice the round before, all of them have."""
    def ask(_):
        return requests.get(url + "/api/2.0/mlflow/users/current", auth=AUTH, timeout=600).status_code

    before = None
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(6):
            begin = time.monotonic()
            list(pool.map(ask, range(32)))
            taken = time.monotonic() - begin
            if before and taken > before / 2:
                return
            before = taken
