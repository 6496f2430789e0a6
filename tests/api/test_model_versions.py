"""Versions of registered models over raw HTTP: each call, its rules, what it leaves in the tables.

All of it holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for
archive_existing_versions, which fails there, and the races at the end.
"""

import collections
import json
import threading
import uuid

import mlflow
import pytest
import requests

PROMPT = "mlflow.prompt.is_prompt"
DOCS = " See the API docs for more information about request parameters."
BAD = "INVALID_PARAMETER_VALUE"
PATH = (". If supplying a source as an http, https, local file path, ftp, objectstore, or "
        "mlflow-artifacts uri, an absolute path must be provided without relative path references "
        "present. Please provide an absolute path.")


class Http:
    def __init__(self, url):
        self.base = url + "/api/2.0/mlflow/"
        self.session = requests.Session()

    def call(self, method, path, query=None, **body):
        path = path if "/" in path else "model-versions/" + path
        return self.session.request(method, self.base + path, params=query, timeout=60,
                                    json=None if query is not None else body)

    def ok(self, method, path, query=None, **body):
        answer = self.call(method, path, query, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method, path, query=None, **body):
        answer = self.call(method, path, query, **body)
        assert answer.status_code != 200, answer.text
        error = answer.json()
        return answer.status_code, error["error_code"], error["message"]

    def model(self, **more):
        name = uuid.uuid4().hex
        self.ok("POST", "registered-models/create", name=name, **more)
        return name

    def create(self, name, source="s3://b/p", **more):
        made = self.ok("POST", "create", name=name, source=source, **more)
        return made["model_version"]

    def get(self, name, version):
        return self.ok("GET", "get", {"name": name, "version": version})["model_version"]

    def touched(self, name):
        found = self.ok("GET", "registered-models/get", {"name": name})
        return found["registered_model"]["last_updated_timestamp"]

    def run(self):
        return self.ok("POST", "runs/create", experiment_id="0")["run"]["info"]


def refusal(source, words):
    return 400, BAD, f"Invalid model version source: '{source}'{words}"


def missing(name, version):
    return (404, "RESOURCE_DOES_NOT_EXIST",
            f"Model Version (name={name}, version={version}) not found")


@pytest.fixture(scope="module")
def http(target):
    return Http(target.url)


@pytest.fixture
def name(http):
    return http.model()


@pytest.fixture
def logged(sql, http):
    """A logged model of a run of its own: id, run id."""
    def make(location="s3://b/logged", stage="active"):
        model, run = "m-" + uuid.uuid4().hex, http.run()["run_id"]
        sql.execute("INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
                    " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage,"
                    " source_run_id) VALUES (%s, 0, 'l', %s, 1, 1, 2, %s, %s)",
                    (model, location, stage, run))
        return model, run
    return make


# --- create -------------------------------------------------------------------------------------

def test_create_shows_what_it_stored(http, sql, name):
    made = http.create(name, run_id="r", run_link="http://l", description="d", tags=[
        {"key": "b", "value": "1"}, {"key": "a"}, {"key": "b", "value": "2"}])
    assert list(made) == ["name", "version", "creation_timestamp", "last_updated_timestamp",
                          "current_stage", "description", "source", "run_id", "status", "tags",
                          "run_link"]
    assert (made["version"], made["current_stage"], made["status"]) == ("1", "None", "READY")
    assert made["creation_timestamp"] == made["last_updated_timestamp"] == http.touched(name)
    assert made["tags"] == [{"key": "b", "value": "2"}, {"key": "a", "value": ""}]
    assert http.get(name, "1") == made
    assert sql.execute("SELECT workspace, user_id, storage_location, status_message FROM"
                       " model_versions WHERE name = %s", (name,)).fetchall() == \
        [("default", None, "s3://b/p", None)]


def test_create_with_a_source_alone(http, name):
    made = http.create(name)
    assert made["run_id"] == made["run_link"] == made["description"] == ""
    assert "tags" not in made and "aliases" not in made and "user_id" not in made


def test_numbers_are_never_given_again(http, name):
    assert [http.create(name)["version"] for _ in range(3)] == ["1", "2", "3"]
    http.ok("DELETE", "delete", name=name, version="3")
    assert http.create(name)["version"] == "4"
    http.ok("DELETE", "registered-models/delete", name=name)
    http.ok("POST", "registered-models/create", name=name)
    assert http.create(name)["version"] == "1"


@pytest.mark.parametrize("body, message", [
    ({}, "Missing value for required parameter 'name'." + DOCS),
    ({"name": "x"}, "Missing value for required parameter 'source'." + DOCS),
    ({"name": "a/b", "source": "s3://b"}, "Invalid model version source: 's3://b'" + PATH),
    ({"name": "a/b", "source": "s3://b/p"},
     "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
    ({"name": "x", "source": "s3://b/p", "run_id": 5},
     "Invalid value 5 for parameter 'run_id' supplied:  Hint: Value was of type 'int'." + DOCS),
    ({"name": "no", "source": "s3://b/p", "tags": [{"key": "k" * 251}]},
     "'key' exceeds the maximum length of 250 characters"),
    ({"name": "no", "source": "dummy-source", "tags": [
        {"key": PROMPT, "value": "TRUE"}, {"key": "mlflow.prompt.text", "value": "x" * 100001}]},
     "Prompt text exceeds max length of 100000 characters."),
    ({"name": "no", "source": "s3://b/p", "tags": [{"key": PROMPT, "value": "True"}]},
     "Invalid prompt source: 's3://b/p'. Prompt sources must use an MLflow placeholder."),
    ({"name": "no", "source": "hdfs://h/p"},
     "'source' cannot use the 'hdfs' scheme: the 'hdfs' scheme addresses a host other than the "
     "tracking server's configured artifact storage, so the server would connect to the host named "
     "in the URI. Set the MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on "
     "the server to allow it."),
])
def test_create_refuses_in_mlflows_order(http, body, message):
    assert http.refused("POST", "create", **body) == (400, BAD, message)


def test_create_without_a_model(http):
    assert http.refused("POST", "create", name="no such", source="s3://b/p") == \
        (404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=no such not found")


@pytest.mark.parametrize("more", [
    {"source": "s3://b/" + "x" * 494}, {"run_id": "x" * 33}, {"description": "x" * 5001},
    {"run_link": "x" * 501}, {"run_link": "a\u0000"}])
def test_what_the_columns_refuse(http, sql, name, more):
    before = http.touched(name)
    body = {"name": name, "source": "s3://b/p", **more}
    assert http.refused("POST", "create", **body)[:2] == (400, "BAD_REQUEST")
    assert http.touched(name) == before
    assert http.create(name, source="s3://b/" + "x" * 493)["version"] == "1"


def test_a_prompts_version(http, sql):
    name = http.model(tags=[{"key": PROMPT, "value": "true"}])
    tags = [{"key": PROMPT, "value": "true"}, {"key": "mlflow.prompt.text", "value": "hi {{x}}"}]
    assert http.create(name, "dummy-source", tags=tags)["tags"] == tags
    assert http.create(name)["version"] == "2"  # and one that is none
    assert http.refused("POST", "create", name=http.model(), source=f"models:/{name}/1") == \
        refusal(f"models:/{name}/1", ". Prompt versions cannot be used as model version sources.")


# --- sources ------------------------------------------------------------------------------------

def test_sources_of_a_run(http, name):
    run = http.run()
    run_id, root = run["run_id"], run["artifact_uri"]
    for source in [root, root + "/m", f"runs:/{run_id}/m"]:
        made = http.create(name, source, run_id=run_id)
        assert (made["source"], made["run_id"]) == (source, run_id)
    whose = ". The run_id request parameter must identify the resource that contains the source."
    for source, more in [(f"runs:/{run_id}/m", {}), (f"runs:/{run_id}/m", {"run_id": "other"}),
                         ("mlflow-artifacts:/x/m", {"run_id": "other"}),
                         ("mlflow-artifacts:/x/m", {"run_id": run_id}), ("/a", {"run_id": "no"})]:
        assert http.refused("POST", "create", name=name, source=source, **more) == \
            refusal(source, whose)


def test_local_sources_stay_in_the_runs_folder(http, sql, name, tmp_path):
    run_id = http.run()["run_id"]
    root = tmp_path / "run"
    (root / "m").mkdir(parents=True)
    (root / "out").symlink_to("/etc")
    sql.execute("UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s", (str(root), run_id))
    for source in [f"{root}/m", f"{root}/x/../m", f"file://{root}", f"file://localhost{root}/m"]:
        assert http.create(name, source, run_id=run_id)["source"] == source
    words = (". To use a local path as a model version source, the run_id request parameter has to "
             "be specified and the local path has to be contained within the artifact directory of "
             "the run specified by the run_id.")
    for source, shown in [(f"{root}/../x", tmp_path / "x"), (f"{root}2", f"{root}2"),
                          (f"{root}/out/passwd", "/etc/passwd"),
                          (f"file://{root}/%2e%2e/x", tmp_path / "x")]:
        assert http.refused("POST", "create", name=name, source=source, run_id=run_id) == \
            refusal(shown, words)
    assert http.refused("POST", "create", name=name, source=str(root)) == refusal(root, words)
    assert http.refused("POST", "create", name=name, source="file://h/x", run_id=run_id)[:2] == \
        (500, "INTERNAL_ERROR")


def test_copies_of_versions(http, sql, name):
    http.create(name, "s3://b/1", run_id="r1")
    http.create(name, "s3://b/2", run_id="r2")
    http.ok("POST", "transition-stage", name=name, version="1", stage="Staging")
    http.ok("POST", "registered-models/alias", name=name, alias="best", version="1")
    copy = http.model()
    for number, (what, of) in enumerate([
            ("/1", 1), ("/01", 1), ("/latest", 2), ("/LATEST", 2), ("/staging", 1), ("/None", 2),
            ("@best", 1), ("@Latest", 2)], 1):
        made = http.create(copy, f"models:/{name}{what}")
        assert (made["source"], made["run_id"]) == (f"models:/{name}/{of}", f"r{of}")
        where = http.ok("GET", "get-download-uri", {"name": copy, "version": number})
        assert where == {"artifact_uri": f"s3://b/{of}"}
    again = http.create(copy, f"models:/{copy}/1", run_id="r1", model_id="")
    assert again["source"] == f"models:/{copy}/1"
    assert http.ok("GET", "get-download-uri", {"name": copy, "version": again["version"]}) == \
        {"artifact_uri": "s3://b/1"}


@pytest.mark.parametrize("what, more, want", [
    ("/9", {}, (404, "RESOURCE_DOES_NOT_EXIST", "Model Version (name={0}, version=9) not found")),
    ("/x", {}, (400, BAD, "Invalid Model Version stage: x. Value must be one of None, Staging, "
                          "Production, Archived.")),
    ("/Archived", {}, (500, "INTERNAL_ERROR",
                       "No versions of model with name '{0}' and stage 'Archived' found")),
    ("@nope", {}, (400, BAD, "Registered model alias nope not found.")),
    ("@a b", {}, (400, BAD, "Invalid alias name: 'a b'. Names may only contain alphanumerics, "
                            "underscores (_), and dashes (-).")),
    ("/1", {"run_id": ""}, (400, BAD, "Invalid model version source: 'models:/{0}/1'. The run_id "
                            "and model_id request parameters must match the referenced model "
                            "version.")),
    ("/1/2", {}, (400, BAD, "Invalid model version source: 'models:/{0}/1/2'. The model_id request "
                  "parameter must identify the resource that contains the source.")),
])
def test_copies_that_are_refused(http, name, what, more, want):
    http.create(name, run_id="r")
    source = f"models:/{name}{what}"
    status, code, message = http.refused("POST", "create", name=name, source=source,
                                         **more)
    assert (status, code, message) == (*want[:2], want[2].format(name))
    empty = http.model()
    assert http.refused("POST", "create", name=name, source=f"models:/{empty}/latest")[2] == \
        f"No versions of model with name '{empty}' found"
    assert http.refused("POST", "create", name=name, source="models:/no such/1")[2] == \
        "Registered Model with name=no such not found"


def test_sources_of_a_logged_model(http, sql, name, logged):
    model, run = logged()
    versions = [http.create(name, f"models:/{model}", model_id=model),
                http.create(name, "s3://b/x", model_id=model),
                http.create(name, "s3://b/x", model_id=model, run_id="kept")]
    assert [v["run_id"] for v in versions] == [run, run, "kept"]
    assert http.ok("GET", "get-download-uri", {"name": name, "version": "1"}) == \
        {"artifact_uri": "s3://b/logged"}
    tag, = sql.execute("SELECT tag_value FROM logged_model_tags WHERE model_id = %s"
                       " AND tag_key = 'mlflow.modelVersions'", (model,)).fetchone()
    assert tag == json.dumps([{"name": name, "version": n} for n in (1, 2, 3)])
    gone, _ = logged(stage="deleted")
    for body, want in [
            ({"source": f"models:/{model}"}, refusal(
                f"models:/{model}", ". The model_id request parameter must identify the resource "
                "that contains the source.")),
            ({"source": f"models:/{gone}", "model_id": gone}, (
                500, "INTERNAL_ERROR", "Unable to fetch model from model URI source artifact "
                f"location 'models:/{gone}'.Error: Logged model with ID '{gone}' not found.")),
            ({"source": "s3://b/p", "model_id": gone}, (
                404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{gone}' not found."))]:
        assert http.refused("POST", "create", name=name, **body) == want
    assert http.create(name)["version"] == "4"


def test_an_unknown_logged_model_with_a_run_keeps_the_version(http, name):
    assert http.refused("POST", "create", name=name, source="s3://b/p", run_id="r",
                        model_id="m-no")[0] == 404
    assert http.get(name, "1")["run_id"] == "r"


# --- get, update, tags --------------------------------------------------------------------------

CALLS = [("PATCH", "update", {}), ("DELETE", "delete", {}),
         ("POST", "transition-stage", {"stage": "Staging"}), ("POST", "set-tag", {"key": "k"}),
         ("DELETE", "delete-tag", {"key": "k"})]


@pytest.mark.parametrize("method, path, more", CALLS)
def test_versions_that_are_not_there(http, name, method, path, more):
    http.create(name)
    http.ok("DELETE", "delete", name=name, version="1")
    for which, version, number in [(name, "1", 1), (name, " 0_2 ", 2), ("no such", "-1", -1)]:
        assert http.refused(method, path, name=which, version=version, **more) == \
            missing(which, number)
        for read in ("get", "get-download-uri"):
            assert http.refused("GET", read, {"name": which, "version": version}) == \
                missing(which, number)


@pytest.mark.parametrize("method, path, more", CALLS)
@pytest.mark.parametrize("version, message", [
    (None, "Missing value for required parameter 'version'." + DOCS),
    ("1.0", "Parameter 'version' must be an integer, got '1.0'."),
    (1, "Invalid value 1 for parameter 'version' supplied:  Hint: Value was of type 'int'." + DOCS),
])
def test_bad_versions_everywhere(http, method, path, more, version, message):
    assert http.refused(method, path, name="x", version=version, **more) == (400, BAD, message)


def test_delete_looks_at_the_version_first(http):
    assert http.refused("DELETE", "delete", name="a/b", version="x")[2] == \
        "Parameter 'version' must be an integer, got 'x'."
    assert http.refused("PATCH", "update", name="a/b", version="x")[2] == \
        "Invalid model name 'a/b'. Names cannot contain '/' or ':'."


def test_the_download_uri_is_asked_without_checks(http, name):
    for query, message in [({"version": "1"}, "Missing value for required parameter 'name'."),
                           ({"name": name}, "Parameter 'version' must be an integer, got ''.")]:
        assert http.refused("GET", "get-download-uri", query) == (400, BAD, message)


def test_update(http, sql, name):
    made = http.create(name, description="d")
    sql.execute("UPDATE model_versions SET last_updated_time = 5 WHERE name = %s", (name,))
    now = http.ok("PATCH", "update", name=name, version="1", description="")["model_version"]
    assert now["description"] == "" and now["last_updated_timestamp"] > 5
    now = http.ok("PATCH", "update", name=name, version="1")["model_version"]
    assert "description" not in now
    assert http.touched(name) == made["last_updated_timestamp"]
    assert http.get(name, "1") == now


def test_tags(http, sql, name):
    made = http.create(name)
    for value in ("1", "x" * 100000):
        assert http.ok("POST", "set-tag", name=name, version="1", key="a b", value=value) == {}
    assert http.ok("POST", "set-tag", name=name, version="1", key="k") == {}
    now = http.get(name, "1")
    assert now == {**made, "tags": [{"key": "a b", "value": "x" * 100000},
                                    {"key": "k", "value": ""}]}
    for _ in range(2):
        assert http.ok("DELETE", "delete-tag", name=name, version="1", key="a b") == {}
    assert http.get(name, "1")["tags"] == [{"key": "k", "value": ""}]
    for key, value, message in [
            ("k" * 251, "", "'key' exceeds the maximum length of 250 characters"),
            ("k", "x" * 100001, "'value' exceeds the maximum length of 100000 characters"),
            ("mlflow.prompt.text", "x" * 100001,
             "Prompt text exceeds max length of 100000 characters.")]:
        assert http.refused("POST", "set-tag", name="no", version="1", key=key, value=value) == \
            (400, BAD, message)
    assert http.refused("DELETE", "delete-tag", name="no", version="1", key="k" * 251) == \
        missing("no", 1)
    assert http.refused("POST", "set-tag", name="no", version="9" * 11, key="k" * 251)[2] == \
        "'key' exceeds the maximum length of 250 characters"
    assert http.refused("POST", "set-tag", name="no", version="9" * 11, key="k")[1] == \
        "BAD_REQUEST"


# --- stages, delete -----------------------------------------------------------------------------

def test_transition(http, sql, name):
    http.create(name)
    http.create(name)
    http.ok("POST", "registered-models/alias", name=name, alias="one", version="1")
    for sent, stage in [("staging", "Staging"), ("NONE", "None"), ("Archived", "Archived"),
                        ("production", "Production"), ("Production", "Production")]:
        sql.execute("UPDATE model_versions SET last_updated_time = 5 WHERE name = %s", (name,))
        now = http.ok("POST", "transition-stage", name=name, version="1", stage=sent,
                      archive_existing_versions=False)["model_version"]
        assert (now["current_stage"], now["aliases"]) == (stage, ["one"])
        assert now["last_updated_timestamp"] == http.touched(name) > 5
        assert http.get(name, "1") == now
        assert http.get(name, "2")["last_updated_timestamp"] == 5


def test_transition_refuses(http):
    stages = ". Value must be one of None, Staging, Production, Archived."
    for more, want in [
            ({"stage": " Staging"}, (400, BAD, "Invalid Model Version stage:  Staging" + stages)),
            ({"stage": "Deleted_Internal"},
             (400, BAD, "Invalid Model Version stage: Deleted_Internal" + stages)),
            ({"stage": "none", "archive_existing_versions": True},
             (500, "INTERNAL_ERROR", "Model version transition cannot archive existing model "
              "versions because 'none' is not an Active stage. Valid stages are "
              "['Staging', 'Production']")),
            ({"stage": "none", "archive_existing_versions": "true"},
             (400, BAD, "Invalid value \"true\" for parameter 'archive_existing_versions' supplied:"
              "  Hint: Value was of type 'str'." + DOCS))]:
        assert http.refused("POST", "transition-stage", name="a/b", version="x", **more) == want


def test_transition_archives_the_others(sluice, sql):
    http = Http(sluice.url)
    name = http.model()
    for _ in range(4):
        http.create(name)
    for version, stage in [("1", "Staging"), ("2", "Production"), ("3", "Staging")]:
        http.ok("POST", "transition-stage", name=name, version=version, stage=stage)
    sql.execute("UPDATE model_versions SET last_updated_time = 5 WHERE name = %s", (name,))
    body = {"name": name, "stage": "staging", "archive_existing_versions": True}
    assert http.refused("POST", "transition-stage", version="9", **body) == missing(name, 9)
    assert http.get(name, "1")["current_stage"] == "Staging"
    now = http.ok("POST", "transition-stage", version="4", **body)["model_version"]
    stamp = now["last_updated_timestamp"]
    assert sql.execute("SELECT version, current_stage, last_updated_time FROM model_versions"
                       " WHERE name = %s ORDER BY 1", (name,)).fetchall() == \
        [(1, "Archived", stamp), (2, "Production", 5), (3, "Archived", stamp),
         (4, "Staging", stamp)]


def test_delete_leaves_a_redacted_row(http, sql, name):
    http.create(name, run_id="r", run_link="l", description="d",
                tags=[{"key": "k", "value": "v"}])
    http.create(name)
    for alias, version in [("one", "1"), ("two", "2")]:
        http.ok("POST", "registered-models/alias", name=name, alias=alias, version=version)
    sql.execute("UPDATE registered_models SET last_updated_time = 5 WHERE name = %s", (name,))
    assert http.ok("DELETE", "delete", name=name, version="1") == {}
    row = sql.execute(
        "SELECT current_stage, source, storage_location, run_id, run_link, description, user_id,"
        " status, status_message, last_updated_time FROM model_versions"
        " WHERE name = %s AND version = 1", (name,)).fetchone()
    assert row == ("Deleted_Internal", "REDACTED-SOURCE-PATH", "s3://b/p", "REDACTED-RUN-ID",
                   "REDACTED-RUN-LINK", None, None, "READY", None, http.touched(name))
    assert sql.execute("SELECT key, value FROM model_version_tags WHERE name = %s",
                       (name,)).fetchall() == [("k", "v")]
    assert sql.execute("SELECT alias FROM registered_model_aliases WHERE name = %s",
                       (name,)).fetchall() == [("two",)]
    assert http.refused("DELETE", "delete", name=name, version="1") == missing(name, 1)


# --- search -------------------------------------------------------------------------------------

@pytest.fixture
def shelf(http):
    """Two models of two versions, found by the beginning of their names."""
    u = uuid.uuid4().hex
    for model in ("a", "b"):
        http.ok("POST", "registered-models/create", name=u + model)
        for version in (1, 2):
            http.create(u + model, f"s3://{model}/{version}", run_id=f"r{version}",
                        tags=[{"key": "k", "value": model}])
    return u


def found(http, shelf, more="", **query):
    answer = http.ok("GET", "search", {"filter": f"name LIKE '{shelf}%'{more}", **query})
    return [v["name"][-1] + v["version"] for v in answer.get("model_versions", [])]


def test_search(http, shelf):
    order = {"order_by": ["name", "version_number DESC"]}
    for more, want in [("", "a2 a1 b2 b1"), (" AND version_number > 1", "a2 b2"),
                       (" AND run_id = 'r1'", "a1 b1"), (" AND tags.k = 'b'", "b2 b1"),
                       (" AND source_path LIKE 's3://a/%'", "a2 a1"),
                       (" AND run_id IN ('r2', 'x') AND tag.k != 'a'", "b2")]:
        assert found(http, shelf, more, **order) == want.split()
    assert found(http, shelf) == ["b2", "b1", "a2", "a1"]
    assert found(http, shelf, order_by="version_number") == ["a1", "b1", "a2", "b2"]


def test_search_shows_tags_and_no_aliases(http, shelf):
    http.ok("POST", "registered-models/alias", name=shelf + "a", alias="x", version="1")
    one = http.get(shelf + "a", "1")
    assert one.pop("aliases") == ["x"]
    answer = http.ok("GET", "search", {"filter": f"name = '{shelf}a' AND version_number = 1"})
    assert answer == {"model_versions": [one]}


def test_search_hides_the_deleted_and_prompts(http, shelf):
    http.ok("DELETE", "delete", name=shelf + "a", version="1")
    assert sorted(found(http, shelf)) == ["a2", "b1", "b2"]
    http.ok("POST", "set-tag", name=shelf + "b", version="1", key=PROMPT, value="true")
    assert found(http, shelf) == ["a2"]
    assert found(http, shelf, f" AND tags.`{PROMPT}` = 'true'") == ["b1"]


def test_search_in_pages(http, shelf):
    query = {"filter": f"name LIKE '{shelf}%'", "order_by": "name", "max_results": 3}
    first = http.ok("GET", "search", query)
    assert len(first["model_versions"]) == 3
    rest = http.ok("GET", "search", {**query, "page_token": first["next_page_token"]})
    assert [v["version"] for v in rest["model_versions"]] == ["1"]
    assert "next_page_token" not in rest
    assert http.ok("GET", "search", {"filter": "name = 'no such'"}) == {}


@pytest.mark.parametrize("query, message", [
    ({"max_results": 0, "filter": "x"},
     "Invalid value for max_results. It must be a positive integer, but got 0"),
    ({"filter": "name > 'a'", "order_by": "x"}, "Invalid comparator for attribute: >"),
    ({"filter": "version = 1"}, "Invalid clause(s) in filter string: version, =, 1"),
    ({"order_by": "a b c", "page_token": "x"},
     "Invalid order_by clause 'a b c'. Could not be parsed."),
    ({"page_token": "x"}, "Invalid page token, could not base64-decode")])
def test_search_refuses_in_mlflows_order(http, query, message):
    assert http.refused("GET", "search", query) == (400, BAD, message)


# --- the client ---------------------------------------------------------------------------------

def test_the_stock_client(target):
    client = mlflow.MlflowClient(target.url, target.url)
    name = uuid.uuid4().hex
    client.create_registered_model(name)
    one = client.create_model_version(name, "s3://b/p", tags={"k": "v"}, description="d")
    assert (one.version, one.tags, one.description) == ("1", {"k": "v"}, "d")
    client.set_registered_model_alias(name, "best", 1)
    client.set_model_version_tag(name, 1, "t", "u")
    client.update_model_version(name, 1, "new")
    got = client.get_model_version(name, 1)
    assert (got.description, got.tags, got.aliases) == ("new", {"k": "v", "t": "u"}, ["best"])
    copy = client.copy_model_version(f"models:/{name}@best", uuid.uuid4().hex)
    assert copy.source == f"models:/{name}/1"
    assert client.get_model_version_download_uri(copy.name, copy.version) == "s3://b/p"
    assert [v.name for v in client.search_model_versions(f"name = '{name}'")] == [name]
    assert client.transition_model_version_stage(name, 1, "Staging").current_stage == "Staging"
    client.delete_model_version_tag(name, 1, "t")
    client.delete_model_version(name, 1)
    assert list(client.search_model_versions(f"name = '{name}'")) == []


# --- at the same time ---------------------------------------------------------------------------

def at_once(calls):
    """Runs the calls on threads of their own; what each gave, or raised."""
    results = [None] * len(calls)

    def work(i):
        try:
            results[i] = calls[i]()
        except BaseException as e:  # pylint: disable=broad-exception-caught
            results[i] = e
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_numbers_with_a_stock_server_at_work(sluice, stock):
    """Both create versions of one model at once: every number once, none missing."""
    name = Http(sluice.url).model()

    def creator(url, rounds):
        http = Http(url)
        return [int(http.create(name)["version"]) for _ in range(rounds)]
    results = at_once([lambda: creator(sluice.url, 25)] * 6 + [lambda: creator(stock.url, 8)] * 4)
    assert not [r for r in results if isinstance(r, BaseException)], results
    assert sorted(sum(results, [])) == list(range(1, 6 * 25 + 4 * 8 + 1))


def test_stages_and_deletes_with_a_stock_server_at_work(sluice, stock, sql):
    """They lock in one order: nobody is a deadlock's victim, and nobody's change is lost."""
    http = Http(sluice.url)
    name = http.model()
    for _ in range(12):
        http.create(name)

    def mover(url, archive, versions):
        session = Http(url)
        return [session.call("POST", "transition-stage", name=name, version=str(v), stage="Staging",
                             archive_existing_versions=archive).status_code for v in versions]

    def deleter(url, versions):
        session = Http(url)
        return [session.call("DELETE", "delete", name=name, version=str(v)).status_code
                for v in versions]
    results = at_once([
        lambda: mover(sluice.url, True, range(1, 9)), lambda: mover(sluice.url, True,
                                                                    range(8, 0, -1)),
        lambda: mover(stock.url, False, range(1, 9)),
        lambda: deleter(sluice.url, [9, 10]), lambda: deleter(stock.url, [11, 12])])
    assert not [r for r in results if isinstance(r, BaseException)], results
    assert collections.Counter(sum(results, [])) == {200: 28}
    assert sql.execute("SELECT array_agg(version ORDER BY version) FROM model_versions"
                       " WHERE name = %s AND current_stage = 'Deleted_Internal'",
                       (name,)).fetchone() == ([9, 10, 11, 12],)


def test_a_logged_model_notes_every_version(sluice, sql, logged):
    http = Http(sluice.url)
    model, name = logged()[0], http.model()
    results = at_once([lambda: http.create(name, f"models:/{model}", model_id=model)] * 8)
    assert not [r for r in results if isinstance(r, BaseException)], results
    tag, = sql.execute("SELECT tag_value FROM logged_model_tags WHERE model_id = %s",
                       (model,)).fetchone()
    assert sorted(v["version"] for v in json.loads(tag)) == list(range(1, 9))
