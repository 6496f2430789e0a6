#!/usr/bin/env python3
"""Serves whatever version of a model is in Production: polls, loads, predicts.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python examples/deploy_loop.py NAME [--versions N]

Each time another version is in Production it is loaded, and `NAME VERSION CLASS` is printed with its
answer for one flower. Ends after N versions, or never.
"""

import argparse
import time
import warnings

import mlflow
import numpy
from mlflow.exceptions import RestException

warnings.filterwarnings("ignore", category=FutureWarning)
FLOWER = numpy.array([[6.3, 3.3, 6.0, 2.5]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--versions", type=int, default=0)
    parser.add_argument("--interval", type=float, default=0.2)
    options = parser.parse_args()
    client = mlflow.MlflowClient()
    served, count = None, 0
    while options.versions == 0 or count < options.versions:
        try:
            found = client.get_latest_versions(options.name, stages=["Production"])
        except RestException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # not registered yet
                raise
            found = []
        if found and found[0].version != served:
            model = mlflow.pyfunc.load_model(f"models:/{options.name}/{found[0].version}")
            served, count = found[0].version, count + 1
            print(options.name, served, int(model.predict(FLOWER)[0]), flush=True)
        time.sleep(options.interval)


if __name__ == "__main__":
    main()
