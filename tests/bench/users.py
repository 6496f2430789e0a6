"""What it costs to ask who it is: log-metric with auth = basic and without, in turns, and a stock server's.

Two Sluice servers on two databases of the same cluster, the same requests, one of them with an
Authorization header; the stock server runs its basic-auth application, as it comes: without its cache.
Round one begins with a login on each worker, which is in the figures. Beside requests/s, which other work
on the machine moves, stands the CPU time of the server for each request, which it hardly does.
"""

import concurrent.futures
import os
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
        for number in range(options.rounds):
            for who, server, runs, auth in (("open", open_server, files[0], None),
                                            ("basic", basic_server, files[1], AUTH)):
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
        seconds = max(options.seconds, 12)  # a request hashes several times
        return max((tools.wrk("log_metric.lua", server.url, seconds, runs, count * 10_000_000,
                              connections=count, auth=AUTH) for count in (4, 8)),
                   key=lambda result: result["per_second"])


def warm(url):
    """Each of its processes imports much at its first request: that is not to be measured."""
    def ask(_):
        return requests.get(url + "/api/2.0/mlflow/users/current", auth=AUTH, timeout=120).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            begin = time.monotonic()
            list(pool.map(ask, range(32)))
            if time.monotonic() - begin < 20:
                return
