"""Kafka mode beside journal mode: the same calls in turns, on one machine with one broker.

Two gateways, each with its flushers and a database of its own in one PostgreSQL, one with
`queue = journal` (fdatasync before each answer), one with `queue = kafka`. The broker is Apache Kafka in
KRaft mode as it comes: it answers when it has the message in memory, and one broker alone
replicates it to nobody. So the answers promise less than the journal's; three brokers on three
machines are what Kafka mode is for, and cannot be measured on one.
"""

import statistics

from kafka import Kafka

# As in production: its own flushing, and all of the compiler.
SETTINGS = {"log.flush.interval.messages": str(2 ** 63 - 1)}
JAVA = ["-Xms512m", "-Xmx512m", "-XX:+UseG1GC"]


def rounds_of(kinds, options, measure, say):
    """kind -> its rounds, in turns."""
    rounds = {kind: [] for kind in kinds}
    for number in range(options.rounds):
        for kind in kinds:
            rounds[kind].append(measure(kind, number))
            say(f"    round {number + 1}: {kind} {rounds[kind][-1]['per_second']:,.0f}/s")
    return rounds


def middle(results):
    """Medians over the rounds."""
    found = {key: statistics.median(r[key] for r in results)
             for key in ("per_second", "p50_ms", "p99_ms") if key in results[0]}
    return {**found, "rounds": [r["per_second"] for r in results]}


def measure_queues(cluster, sluice, tools, folder, options, say):
    """{what: {"journal": figures, "kafka": figures}}"""
    servers, databases = {}, {"journal": "by_journal", "kafka": "by_kafka"}
    with Kafka(SETTINGS, java=JAVA) as kafka:
        args = {"journal": [], "kafka": ["--queue", "kafka", "--kafka-brokers", kafka.bootstrap]}
        ids = files = None
        for kind, name in databases.items():
            uri = cluster.create_database(name)
            servers[kind] = sluice(uri, args=args[kind] + options.args.split())
        try:
            for kind, server in servers.items():
                server.__enter__()
                ids, files = tools["make_runs"](cluster, server.pg_uri, folder, databases[kind])
            return measure_servers(servers, ids, files, tools, options, say)
        finally:
            for server in servers.values():
                if server.process:
                    server.__exit__()


def measure_servers(servers, ids, runs_file, tools, options, say):
    kinds = list(servers)

    def metric(kind, number):
        result = tools["wrk"]("log_metric.lua", servers[kind].url, options.seconds, runs_file,
                              (number + 1) * 100_000_000)
        tools["drained"](servers[kind])
        return result

    def batch(kind, number):
        result = tools["wrk"]("log_batch.lua", servers[kind].url, max(2, options.seconds // 2),
                              runs_file, (number + 1) * 1_000_000)
        result["per_second"] *= 1000
        tools["drained"](servers[kind])
        return result

    def apply(kind, number):
        return tools["apply"](servers[kind], ids, options.points, 1_000_000_000 + number * 1_000_000)

    found = {}
    for what, measure in (("points/s applied", apply),
                          ("log-metric requests/s accepted", metric),
                          ("points/s accepted, log-batch", batch)):
        say(f"  {what}")
        rounds = rounds_of(kinds, options, measure, say)
        found[what] = {kind: middle(results) for kind, results in rounds.items()}
    return found
