"""The promises of `make bench` that are no plain comparison with another server: latency, memory, overload.

  latency      log-metric, 1000 connections, open loop at half of what the closed loop reached: p99
  replays      the same load with 30 % of all requests repeated and without, in turns: ratio of the p99
  connected    10 000 jobs, each on its connection, a batch or two each in the time measured: all are served; memory
  memory       resident size of the program before anybody came, and of another one after a closed loop of batches
  overload     three times the peak, open loop, nobody retries: accepted points to those of the peak, and what
               else than 200 and 429 was answered
  tuned        applied points/s after `schema tune metrics_run_uuid metrics_primary_key latest_metrics_fill` and after all of it,
               beside psql \\copy into the untuned schema, in turns
  large        applied points/s on top of --large points already in `metrics`, beside an empty table, in turns

All by build/sluice-loadtest but the last two, which send what the apply measurement of bench.py sends.
Each row says what it should be and whether it was; nothing here fails: machines are noisy.
"""

import json
import os
import statistics
import subprocess

from server import BINARY, ROOT, clean_environment

GENERATOR = os.path.join(ROOT, "build/sluice-loadtest")
SCENARIOS = os.path.join(ROOT, "loadtest/scenarios")
MIB = 1 << 20
RING_MIB = 32  # ring_bytes, as it comes


def blow(server, folder, *flags):
    """One run of the generator: its figures."""
    path = os.path.join(folder, "load.json")
    done = subprocess.run(
        [GENERATOR, *flags, "--url", server.url, "--json", path, "--no-progress", "--pid",
         str(server.process.pid), "--admin-url", server.admin_url], text=True, env=clean_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    if done.returncode not in (0, 3):
        raise RuntimeError(f"sluice-loadtest ended with {done.returncode}:\n{done.stdout}")
    with open(path, encoding="utf-8") as f:
        return json.load(f)["figures"]


def row(what, value, unit, wanted, is_met, **more):
    return {"what": what, "value": value, "unit": unit, "target": wanted, "is_met": bool(is_met), **more}


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def latency(server, folder, options, tools):
    form = ["--jobs", "1000", "--mix", "log-metric=1", "--experiment", "latency", "--keys", "10"]
    times = ["--warmup", "2s", "--duration", f"{options.seconds + 2}s"]
    rounds = []
    for _ in range(options.rounds):
        peak = blow(server, folder, *form, *times, "--loop", "closed")
        tools.drained(server)
        half = blow(server, folder, *form, *times, "--rate", f"{peak['throughput'] / 2:.0f}")
        tools.drained(server)
        rounds.append((half["p99"] * 1e3, half["p50"] * 1e3, half["lag_p99"] * 1e3, peak["throughput"],
                       half["throughput"]))
    p99, p50, lag, peak, rate = sorted(rounds)[len(rounds) // 2]
    return row("log-metric at half of capacity, 1000 connections, open loop: p99", p99, "ms", "< 5", p99 < 5,
               p50_ms=p50, lag_p99_ms=lag, capacity_per_second=peak, rate_per_second=rate,
               rounds=[r[0] for r in rounds])


def replays(server, folder, options, tools):
    pairs = []
    for _ in range(max(3, options.rounds)):
        p99 = {}
        for share in ("0%", "30%"):
            figures = blow(server, folder, os.path.join(SCENARIOS, "retry-storm.conf"), "--replay", share, "--loop",
                           "open", "--rate", "2000", "--mix", "log-metric=9,log-batch=1", "--batch", "20", "--warmup",
                           "1s", "--duration", f"{options.seconds + 1}s", "--experiment", "replays")
            tools.drained(server)
            p99[share] = figures["p99"] * 1e3
        pairs.append((p99["30%"], p99["0%"]))
    ratio = statistics.median(a / b for a, b in pairs)
    return row("30 % of requests replayed: p99 to that without", ratio, "x", "<= 1.2", ratio <= 1.2,
               rounds=[a / b for a, b in pairs], p99_ms=[[a, b] for a, b in pairs])


def connected(server, folder, options):
    jobs = options.connected
    figures = blow(server, folder, os.path.join(SCENARIOS, "ten-thousand-idle.conf"), "--jobs", str(jobs), "--interval",
                   f"{options.seconds * 2}s", "--warmup", "0s", "--duration", f"{options.seconds * 3}s", "--sample",
                   "500ms", "--experiment", "connected")
    peak = figures["rss_peak"] / MIB
    served = figures["done"] == figures["requests"] >= jobs * 0.99 and figures["errors"] + figures["refused"] == 0
    return row(f"{jobs} connected jobs: resident memory, at its peak", peak, "MiB", "< 256, all served",
               peak < 256 and served and figures["connections_max"] >= jobs * 0.99,
               served=served, connections=figures["connections_max"], p99_ms=figures["p99"] * 1e3)


def memory(server, idle, folder, options, tools):
    figures = blow(server, folder, "--loop", "closed", "--jobs", "64", "--batch", "100", "--duration",
                   f"{options.seconds}s", "--experiment", "memory")
    tools.drained(server)
    loaded = figures["rss_peak"] / MIB
    return [row("resident memory, idle", idle / MIB, "MiB", "< 20", idle < 20 * MIB),
            row("resident memory, loaded, ring included", loaded, "MiB", f"< 64 + {RING_MIB} of the ring",
                loaded < 64 + RING_MIB)]


def overload(server, folder, options, tools):
    """A small journal, so that there is an end to what is accepted; the peak is what PostgreSQL takes."""
    form = [os.path.join(SCENARIOS, "overload-3x.conf"), "--experiment", "overload", "--key-bytes", "200", "--keys",
            "100", "--batch", "100"]
    times = ["--warmup", "2s", "--duration", f"{2 * options.seconds + 2}s"]
    fill = ["--loop", "closed", "--jobs", "16", "--warmup", "0s", "--duration", f"{options.seconds}s", "--drain", "1s"]
    ratios, wrong = [], 0
    for _ in range(max(2, options.rounds - 1)):
        blow(server, folder, *form, *fill)  # both are measured with a journal that is full
        peak = blow(server, folder, *form, *times, "--loop", "closed", "--retry")
        blow(server, folder, *form, *fill)
        over = blow(server, folder, *form, *times, "--rate", f"{max(20, 3 * peak['goodput'] / 100):.1f}")
        tools.drained(server)
        ratios.append(over["goodput"] / peak["goodput"])
        wrong += sum(f["errors"] + f["answers_5xx"] + f["no_retry_after"] for f in (peak, over))
    ratio = statistics.median(ratios)
    return row("overload at 3 x capacity: goodput to the peak", ratio, "x", ">= 0.9, the rest 429",
               ratio >= 0.9 and wrong == 0, rounds=ratios, neither_200_nor_429=wrong, peak_points_per_second=peak["goodput"])


def tune(uri, *names):
    subprocess.run([BINARY, "schema", "tune", *names, "--pg-uri", uri], check=True, stdout=subprocess.DEVNULL)


def turns(cluster, measures, rounds):
    found = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            with cluster.connect("postgres") as pg:
                pg.execute("CHECKPOINT")
            found[name].append(measure(number)["per_second"])
    return found


def ratios(found, ours, theirs):
    return [a / b for a, b in zip(found[ours], found[theirs])]


def applied(cluster, folder, options, tools, say):
    """The tuned schemas and the large table: databases of their own, Sluice on each, \\copy between."""
    uri = cluster.create_database("target_plain")
    with tools.Sluice(uri):  # makes the schema
        pass
    ids, _ = tools.make_runs(cluster, uri, folder, "target_plain")
    names = ("copied", "lean", "tuned", "large")
    uris = {name: cluster.create_database(f"target_{name}", template="target_plain") for name in names}
    uris["plain"] = uri
    tune(uris["lean"], "metrics_run_uuid", "metrics_primary_key", "latest_metrics_fill")
    tune(uris["tuned"])
    tools.fill(cluster, "target_large", options.large)
    servers = {name: tools.Sluice(uris[name], args=options.args.split()) for name in ("plain", "lean", "tuned", "large")}
    try:
        for server in servers.values():
            server.start()
        first = lambda number: 1_000_000_000 + number * 1_000_000  # noqa: E731
        measures = {"copy": lambda n: tools.apply_copy(cluster, "target_copied", ids, options.points, first(n), folder)}
        for name in ("plain", "large", "lean", "tuned"):
            measures[name] = lambda n, s=servers[name]: tools.apply_sluice(s, ids, options.points, first(n))
        found = turns(cluster, measures, options.rounds)
    finally:
        for server in servers.values():
            server.stop()
    say("    points/s: " + "; ".join(f"{name} {', '.join(f'{v:,.0f}' for v in values)}" for name, values in found.items()))
    for name in (*names, "plain"):
        cluster.drop_database(f"target_{name}")
    lean, tuned = ratios(found, "lean", "copy"), ratios(found, "tuned", "copy")
    large = ratios(found, "large", "plain")
    best = max(lean, tuned, key=statistics.median)
    return [row("points/s applied after schema tune, to psql \\copy", statistics.median(best), "x", ">= 4",
                statistics.median(best) >= 4, rounds=best, lean=lean, all=tuned, figures=found),
            row(f"{options.large / 1e6:g} M rows in metrics: applied rate to that of the empty table",
                statistics.median(large), "x", ">= 0.7", statistics.median(large) >= 0.7, rounds=large)]


def measure_targets(cluster, folder, options, tools, say):
    """[{what, value, unit, target, is_met, ...}]"""
    rows = []

    def add(*more):
        for one in more:
            rows.append(one)
            say(f"    {one['what']}: {one['value']:.3g} {one['unit']} (target {one['target']}"
                f"{'' if one['is_met'] else ': NOT MET'}), load {os.getloadavg()[0]:.0f}")
            if not one["is_met"]:
                say("        " + json.dumps({k: v for k, v in one.items() if k not in ("what", "figures")}))

    with tools.Sluice(cluster.create_database("target_load"), args=options.args.split()) as server:
        idle = resident(server)
        add(*memory(server, idle, folder, options, tools))
        add(latency(server, folder, options, tools))
        add(replays(server, folder, options, tools))
    with tools.Sluice(cluster.create_database("target_many"), args=options.args.split()) as server:
        add(connected(server, folder, options))
    with tools.Sluice(cluster.create_database("target_over"), args=[
            *options.args.split(), "--journal-max-bytes", "8MiB", "--journal-segment-bytes", "1MiB", "--ring-bytes",
            "4MiB", "--flushers", "1", "--flush-rows", "2500"]) as server:
        add(overload(server, folder, options, tools))
    add(*applied(cluster, folder, options, tools, say))
    for name in ("load", "many", "over"):
        cluster.drop_database(f"target_{name}")
    return rows


def target_table(rows):
    lines = [f"{'promise':<66}{'measured':>14}  target"]
    for one in rows:
        lines.append(f"{one['what']:<66}{one['value']:>10.3g} {one['unit']:<3}  {one['target']}"
                     f"{'' if one['is_met'] else '   NOT MET'}")
    return "\n".join(lines)
