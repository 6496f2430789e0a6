"""What is denied stays denied, however the request spells what it is about."""

import json

import psycopg
import pytest
import requests

from auth import ADMIN, add_user, basic, guarded

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
USER = ("mallory", "a-long-password")


def ask(server, who, method, path, body=None, data=None, kind="application/json"):
    headers = {"Authorization": basic(*who)}
    if data is not None:
        headers["Content-Type"] = kind
    with requests.Session() as session:
        ready = requests.Request(method, server.url, json=body, headers=headers, data=data).prepare()
        ready.url = server.url + (path if path.startswith("/") else API + path)  # as it is written
        return session.send(ready, timeout=60)


class Owned:
    """An experiment, its run and a file of the run's."""

    def __init__(self, server, name):
        self.e = ask(server, ADMIN, "POST", "experiments/create", {"name": name}).json()["experiment_id"]
        made = ask(server, ADMIN, "POST", "runs/create", {"experiment_id": self.e}).json()
        self.r = made["run"]["info"]["run_id"]
        self.file = f"{self.r}/artifacts/x.txt"
        assert ask(server, ADMIN, "PUT", f"{ARTIFACTS}/{self.e}/{self.file}", data=name).status_code == 200
        version = {"name": name, "source": f"mlflow-artifacts:/{self.e}/{self.r}/artifacts", "run_id": self.r}
        for path, body in (("registered-models/create", {"name": name}), ("model-versions/create", version)):
            assert ask(server, ADMIN, "POST", path, body).status_code == 200


@pytest.fixture(scope="module")
def things(database):
    """A server whose default is READ, what its user manages, and what he is denied."""
    with guarded(database) as server:
        mine, theirs = Owned(server, "mine"), Owned(server, "theirs")
        add_user(database, *USER)
        with psycopg.connect(database, autocommit=True) as pg:
            role = pg.execute("INSERT INTO roles (name, workspace) VALUES ('r', 'default') RETURNING id").fetchone()[0]
            pg.execute("INSERT INTO user_role_assignments (user_id, role_id) "
                       "SELECT id, %s FROM users WHERE username = %s", (role, USER[0]))
            for kind, what, level in (("experiment", mine.e, "MANAGE"), ("experiment", theirs.e, "DENY"),
                                      ("registered_model", "mine", "MANAGE"), ("registered_model", "theirs", "DENY"),
                                      ("registered_model", "mine@theirs", "DENY")):
                pg.execute("INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission) "
                           "VALUES (%s, %s, %s, %s)", (role, kind, what, level))
        for path, body in (("registered-models/create", {}), ("model-versions/create", {"source": "models:/theirs/1"}),
                           ("registered-models/alias", {"alias": "best", "version": "1"})):
            assert ask(server, ADMIN, "POST", path, {"name": "mine@theirs", **body}).status_code == 200
        yield server, mine, theirs


SPELLINGS = ["{}", "0{}", "%20{}", "{}%20", "%2B{}", "0_{}", "%EF%BC%9{}"]  # the last one is full-width


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_number_of_an_experiment(things, spelling):
    server, mine, theirs = things
    for what, status in ((mine, 200), (theirs, 403)):
        path = "experiments/get?experiment_id=" + spelling.format(what.e)
        assert ask(server, USER, "GET", path).status_code == status
    text = requests.utils.unquote(spelling.format(theirs.e))
    runs = ask(server, USER, "POST", "runs/search", {"experiment_ids": [text]})
    assert theirs.r not in runs.text and '"run_id"' not in runs.text
    query = "query Q($d: MlflowGetExperimentInput!) { mlflowGetExperiment(input: $d) { experiment { name } } }"
    shown = ask(server, USER, "POST", "/graphql", {"query": query, "variables": {"d": {"experimentId": text}}})
    assert shown.json()["data"]["mlflowGetExperiment"] is None


CALLS = [("runs/set-tag", {"key": "k", "value": "v"}), ("runs/log-parameter", {"key": "p", "value": "v"}),
         ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}), ("runs/update", {"run_name": "n"}),
         ("runs/delete", {})]


@pytest.mark.parametrize("path, body", CALLS)
def test_two_names_of_a_run(things, path, body):
    """The handler may take another one than the check: both must be the same."""
    server, mine, theirs = things
    both = json.dumps({**body, "run_uuid": theirs.r})[:-1] + f', "[a.b]": 1, "run_id": "{mine.r}"}}'
    for text in (json.dumps({**body, "run_uuid": mine.r, "runId": theirs.r}), both,
                 json.dumps({**body, "run_id": mine.r, "run_uuid": theirs.r})):
        assert ask(server, USER, "POST", path, data=text).status_code == 403
    same = {**body, "run_id": mine.r, "run_uuid": mine.r}  # as stock clients send it
    assert ask(server, USER, "POST", path, same).status_code == 200


def test_an_upload_to_one_run_in_the_name_of_another(things):
    server, mine, theirs = things
    path = "/ajax-api/2.0/mlflow/upload-artifact?run_id={}&run_uuid={}&path=y.txt"
    assert ask(server, USER, "POST", path.format(mine.r, theirs.r), data="y").status_code == 403
    assert ask(server, ADMIN, "GET", f"{ARTIFACTS}/{theirs.e}/{theirs.r}/artifacts/y.txt").status_code == 404


@pytest.mark.parametrize("front", ["", "./", "%2e/", "%25252e/", ".//", "%20", "%09"])
def test_the_path_of_an_artifact(things, front):
    server, mine, theirs = things
    for what, status in ((mine, 200), (theirs, 403)):
        for end in ("/", "%09/"):
            path = f"{front}{what.e}{end}{what.file}"
            assert ask(server, USER, "GET", f"{ARTIFACTS}/{path}").status_code == status
        assert ask(server, USER, "GET", f"{ARTIFACTS}?path={front}{what.e}").status_code == status


@pytest.mark.parametrize("source", ["models:/theirs/1", "MODELS:/theirs/1", " models:/theirs/1", "mod\tels:/theirs/1",
                                    "models:///theirs/1", "models:/mine@theirs@best"])
def test_the_source_of_a_version(things, source):
    """A version that is copied shows the other one's files."""
    answer = ask(things[0], USER, "POST", "model-versions/create", {"name": "mine", "source": source})
    assert (answer.status_code, answer.text) == (403, "Permission denied")


@pytest.mark.parametrize("source", ["models:/mine/1", "MODELS:/mine/latest"])
def test_the_source_that_is_ones_own(things, source):
    assert ask(things[0], USER, "POST", "model-versions/create", {"name": "mine", "source": source}).status_code == 200
