#!/usr/bin/env python3
"""How long `sluice gc` and `mlflow gc` take for the same deleted runs.

    build/venv/bin/python tests/bench/gc.py [--runs 5] [--points 100000] [--rounds 3]

One database is filled; each round lets each of the two loose on a copy, in turn first and second. Artifacts are two
files for each run in a directory, which both delete directly. `mlflow gc` is called within this process, which has
MLflow imported, so that the seconds which it takes to start do not count. Prints seconds and the median ratio.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import psycopg
from click.testing import CliRunner

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/tools"))

from cluster import Cluster  # noqa: E402
from deleted import OLD_MS, Deleted  # noqa: E402
from server import BINARY, clean_environment  # noqa: E402


def sluice_gc(uri):
    done = subprocess.run([BINARY, "gc", "--pg-uri", uri], capture_output=True, text=True,
                          env=clean_environment(), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def mlflow_gc(uri):
    from mlflow.cli import gc

    done = CliRunner().invoke(gc, ["--tracking-uri", "http://127.0.0.1:1", "--backend-store-uri",
                                   uri.replace("postgresql://", "postgresql+psycopg://", 1)])
    assert done.exit_code == 0, done.exception
    return done.output


def fill(cluster, name, folder, runs, points):
    uri = cluster.create_database(name)
    subprocess.run([BINARY, "schema", "create", "--pg-uri", uri], check=True, capture_output=True)
    with psycopg.connect(uri, autocommit=True) as pg:
        d = Deleted(pg, folder)
        experiment = d.experiment(root=f"{folder}/direct")
        for _ in range(runs):
            d.run(experiment, OLD_MS, points)
        d.run(experiment)
        pg.execute("VACUUM ANALYZE")


def one(cluster, collect, folder):
    """Seconds that it takes for a copy."""
    uri = cluster.create_database("copy", "made")
    copy = f"{folder}-copy"
    shutil.copytree(folder, copy)
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, %s, %s)", (folder, copy))
        pg.execute("CHECKPOINT")
        began = time.monotonic()
        said = collect(uri)
        seconds = time.monotonic() - began
        assert "permanently deleted" in said and pg.execute("SELECT count(*) FROM metrics").fetchone() == (5,)
    cluster.drop_database("copy")
    shutil.rmtree(copy)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ratios = []
    with Cluster(fsync=True) as cluster, tempfile.TemporaryDirectory(prefix="gc-") as top:
        os.chmod(top, 0o755)
        fill(cluster, "made", f"{top}/made", args.runs, args.points)
        one(cluster, mlflow_gc, f"{top}/made")  # it imports what it needs
        for i in range(args.rounds):
            order = (sluice_gc, mlflow_gc) if i % 2 else (mlflow_gc, sluice_gc)
            seconds = {collect: one(cluster, collect, f"{top}/made") for collect in order}
            ratios.append(seconds[mlflow_gc] / seconds[sluice_gc])
            print(f"round {i + 1}: sluice gc {seconds[sluice_gc]:.2f} s, mlflow gc {seconds[mlflow_gc]:.2f} s",
                  flush=True)
    print(f"{args.runs} runs x {args.points} points: mlflow gc / sluice gc = {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
