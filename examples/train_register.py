#!/usr/bin/env python3
"""Trains a classifier, logs it with its artifacts, registers it, and promotes it to Production.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python examples/train_register.py NAME [--strength C]

Prints `NAME VERSION ACCURACY`. Nothing here knows which server it talks to: it is what a training
job of anybody's looks like.
"""

import argparse
import warnings

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

warnings.filterwarnings("ignore", category=FutureWarning)  # stages are what is shown here


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--strength", type=float, default=1.0)
    options = parser.parse_args()
    data = load_iris()
    train, test, train_labels, labels = train_test_split(data.data, data.target, random_state=7)

    mlflow.set_experiment(options.name)
    with mlflow.start_run() as run:
        model = LogisticRegression(C=options.strength, max_iter=500)
        model.fit(train, train_labels)
        accuracy = model.score(test, labels)
        mlflow.log_param("strength", options.strength)
        mlflow.log_metric("accuracy", accuracy)
        mlflow.log_text(repr(model.coef_), "coefficients.txt")
        mlflow.log_dict({"classes": list(map(str, data.target_names))}, "classes.json")
        mlflow.sklearn.log_model(model, name="model", input_example=test[:2],
                                 pip_requirements=["scikit-learn"],
                                 registered_model_name=options.name)

    client = mlflow.MlflowClient()
    version = max(client.search_model_versions(f"name = '{options.name}' and run_id = "
                                               f"'{run.info.run_id}'"),
                  key=lambda v: int(v.version))
    for stage in ("Staging", "Production"):
        client.transition_model_version_stage(options.name, version.version, stage,
                                              archive_existing_versions=stage == "Production")
    model = mlflow.pyfunc.load_model(f"models:/{options.name}/Production")
    assert (model.predict(test) == labels).mean() == accuracy
    print(options.name, version.version, accuracy, flush=True)


if __name__ == "__main__":
    main()
