#!/usr/bin/env python3
"""Trains classifiers on scikit-learn's digits, in parallel processes, and logs to MLflow.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python examples/digits.py

Eight by eight pixel digits, 1797 of them, come with scikit-learn. Runs with different
hyper-parameters train in parallel processes; each logs its params and tags, the loss of every
batch, and the accuracy of every epoch, with the stock MLflow client and nothing else. `--async`
logs in the background as mlflow.log_metrics(synchronous=False) does; without it every call waits.
"""

import argparse
import json
import multiprocessing
import time

import mlflow
import numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

CLASSES = numpy.arange(10)
BATCH = 64


def plan(runs):
    """Hyper-parameters of each run, different for every one of them."""
    rates = [0.0003, 0.001, 0.003, 0.01, 0.03]
    for number in range(runs):
        rate = rates[number % len(rates)]
        if number % 2:
            yield {"model": "sgd", "alpha": rate, "loss": "log_loss", "seed": number}
        else:
            yield {"model": "mlp", "learning_rate": rate, "hidden": 32 + 16 * (number % 3),
                   "seed": number}


def build(params):
    if params["model"] == "sgd":
        return SGDClassifier(loss=params["loss"], alpha=params["alpha"],
                             random_state=params["seed"])
    return MLPClassifier(hidden_layer_sizes=(params["hidden"],),
                         learning_rate_init=params["learning_rate"], random_state=params["seed"])


def cross_entropy(model, images, labels):
    """What the model pays for these images: the mean of -log(probability of the true digit)."""
    odds = model.predict_proba(images)[numpy.arange(len(labels)), labels]
    return float(-numpy.log(numpy.clip(odds, 1e-12, 1)).mean())


class Log:
    """What goes to MLflow, noted in the ledger on the way: run, kind, key, value, time, step."""

    def __init__(self, run, is_async, ledger):
        self.run = run
        self.synchronous = not is_async
        self.ledger = ledger

    def note(self, kind, key, value, timestamp=None, step=None):
        self.ledger.append({"run": self.run, "kind": kind, "key": key, "value": value,
                            "timestamp": timestamp, "step": step})

    def params(self, values):
        mlflow.log_params(values, synchronous=self.synchronous)
        for key, value in values.items():
            self.note("param", key, str(value))

    def tags(self, values):
        mlflow.set_tags(values, synchronous=self.synchronous)
        for key, value in values.items():
            self.note("tag", key, str(value))

    def metrics(self, values, step):
        now = int(time.time() * 1000)
        mlflow.log_metrics(values, step=step, timestamp=now, synchronous=self.synchronous)
        for key, value in values.items():
            self.note("metric", key, value, now, step)

    def metric(self, key, value, step):
        now = int(time.time() * 1000)
        mlflow.log_metric(key, value, step=step, timestamp=now, synchronous=self.synchronous)
        self.note("metric", key, value, now, step)


def train(params, options):
    """One run, in a process of the pool; returns what it logged."""
    data = load_digits()
    images = StandardScaler().fit_transform(data.data)
    images, tests, labels, truths = train_test_split(images, data.target, test_size=0.25,
                                                     random_state=0)
    mlflow.set_experiment(options.experiment)
    ledger = []
    model = build(params)
    order = numpy.random.default_rng(params["seed"])
    with mlflow.start_run(run_name=f"{params['model']}-{params['seed']}") as run:
        log = Log(run.info.run_id, options.is_async, ledger)
        log.params({**params, "batch": BATCH, "epochs": options.epochs})
        log.tags({"data": "digits", "logging": "async" if options.is_async else "sync"})
        step = 0
        for epoch in range(options.epochs):
            indices = order.permutation(len(images))
            for begin in range(0, len(indices), BATCH):
                batch = indices[begin:begin + BATCH]
                model.partial_fit(images[batch], labels[batch], classes=CLASSES)
                log.metric("batch_loss", cross_entropy(model, images[batch], labels[batch]), step)
                step += 1
            log.metrics({"train_accuracy": float(model.score(images, labels)),
                         "test_accuracy": float(model.score(tests, truths))}, epoch)
        log.tags({"state": "trained"})
        mlflow.flush_async_logging()
    print(f"{run.info.run_name}: {step} batches, "
          f"test accuracy {model.score(tests, truths):.3f}", flush=True)
    return ledger


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=4, help="runs, half of them of each model")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the training set")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--async", dest="is_async", action="store_true",
                        help="log in the background")
    parser.add_argument("--experiment", default="digits", help="name of the experiment")
    parser.add_argument("--ledger", metavar="FILE", help="write all that was logged, as JSON lines")
    options = parser.parse_args()

    begin = time.monotonic()
    mlflow.set_experiment(options.experiment)  # made once, before the processes race for it
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        ledgers = pool.starmap(train, [(p, options) for p in plan(options.runs)], chunksize=1)
    points = sum(entry["kind"] == "metric" for ledger in ledgers for entry in ledger)
    print(f"{options.runs} runs, {points} points in {time.monotonic() - begin:.1f} s, "
          f"tracked by {mlflow.get_tracking_uri()}")
    if options.ledger:
        with open(options.ledger, "w", encoding="utf-8") as out:
            for ledger in ledgers:
                for entry in ledger:
                    out.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
