"""Logged models: what mlflow.log_model does with the tracking server, and their search.

What is here holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for two clients that
tag one model in opposite orders: there one of them may be told of a deadlock.
"""

import base64
import json
import threading
import time
import uuid

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.exceptions import MlflowException

UNKNOWN = "m-" + "0" * 32


@pytest.fixture(scope="module")
def client(target):
    mlflow.set_tracking_uri(target.url)
    return MlflowClient(target.url)


@pytest.fixture
def experiment(client):
    return client.create_experiment("exp-" + uuid.uuid4().hex)


@pytest.fixture
def run(client, experiment):
    return client.create_run(experiment).info.run_id


@pytest.fixture
def call(target):
    """Sends one request: (status, JSON)."""
    def send(method, path, body=None, **more):
        got = requests.request(method, f"{target.url}/api/2.0/mlflow/{path}", json=body,
                               timeout=30, **more)
        return got.status_code, got.json()
    return send


def log(client, run, model, key, value, timestamp=1, step=0, dataset=(None, None)):
    client.log_batch(run, metrics=[Metric(key, value, timestamp, step, model_id=model,
                                          dataset_name=dataset[0], dataset_digest=dataset[1])])


# --- one model ------------------------------------------------------------------------------------

def test_life_of_a_model(client, experiment, run):
    made = client.create_logged_model(experiment, name="net", source_run_id=run,
                                      tags={"b": "2", "a": "1"}, params={"lr": "0.1", "deep": "3"},
                                      model_type="agent")
    where = client.get_experiment(experiment).artifact_location
    assert made.model_id.startswith("m-") and len(made.model_id) == 34
    assert made.artifact_location == f"{where}/models/{made.model_id}/artifacts"
    assert (made.experiment_id, made.name, made.model_type, made.source_run_id) == \
        (experiment, "net", "agent", run)
    assert made.status == LoggedModelStatus.PENDING
    assert made.tags == {"a": "1", "b": "2"} and made.params == {"lr": "0.1", "deep": "3"}
    assert made.creation_timestamp == made.last_updated_timestamp
    assert client.get_logged_model(made.model_id).to_dictionary() == made.to_dictionary()

    ready = client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    assert ready.status == LoggedModelStatus.READY
    assert ready.last_updated_timestamp >= made.last_updated_timestamp
    client.set_logged_model_tags(made.model_id, {"a": "new", "c": "3"})
    client.delete_logged_model_tag(made.model_id, "b")
    client.log_model_params(made.model_id, {"more": "x"})
    got = client.get_logged_model(made.model_id)
    assert got.tags == {"a": "new", "c": "3"}
    assert got.params == {"lr": "0.1", "deep": "3", "more": "x"}

    client.delete_logged_model(made.model_id)
    with pytest.raises(MlflowException, match="not found"):
        client.get_logged_model(made.model_id)
    assert client.search_logged_models([experiment]) == []


def test_deleted_models_are_shown_when_asked_for(client, experiment, call):
    model = client.create_logged_model(experiment).model_id
    client.delete_logged_model(model)
    missing = {"error_code": "RESOURCE_DOES_NOT_EXIST",
               "message": f"Logged model with ID '{model}' not found.", "sqlstate": "KAM00",
               "error_class": "RESOURCE_NOT_FOUND"}
    assert call("GET", f"logged-models/{model}") == (404, missing)
    assert call("GET", f"logged-models/{model}?allow_deleted=1") == (404, missing)
    for said in ("true", "True", "TRUE"):
        assert call("GET", f"logged-models/{model}?allow_deleted={said}")[0] == 200
    # As MLflow has it, a deleted model still takes everything.
    assert call("PATCH", f"logged-models/{model}", {"model_id": model, "status": 2})[0] == 200
    assert call("PATCH", f"logged-models/{model}/tags",
                {"tags": [{"key": "k", "value": "v"}]}) == (200, {})
    assert call("DELETE", f"logged-models/{model}/tags/k") == (200, {})
    assert call("DELETE", f"logged-models/{model}") == (200, {})


def test_a_model_without_a_name_gets_one(client, experiment):
    name = client.create_logged_model(experiment).name
    assert len(name) <= 20 and name.count("-") == 2 and name.rpartition("-")[2].isdigit()


def test_finalize_takes_the_id_of_the_body(client, experiment, call):
    model = client.create_logged_model(experiment).model_id
    status, answer = call("PATCH", "logged-models/other",
                          {"model_id": model, "status": "LOGGED_MODEL_UPLOAD_FAILED"})
    assert status == 200
    assert answer["model"]["info"]["status"] == "LOGGED_MODEL_UPLOAD_FAILED"
    status, answer = call("PATCH", f"logged-models/{model}", {"status": 2})
    assert (status, answer["message"].split(".")[0]) == \
        (400, "Missing value for required parameter 'model_id'")


def test_params_are_written_once(client, experiment, call):
    model = client.create_logged_model(experiment, params={"a": "1"}).model_id
    for pairs in ([("b", "2"), ("a", "1")], [("c", "1"), ("c", "1")]):
        status, answer = call("POST", f"logged-models/{model}/params", {
            "model_id": model, "params": [{"key": k, "value": v} for k, v in pairs]})
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert client.get_logged_model(model).params == {"a": "1"}


def test_many_params_go_in_batches(client, experiment):
    params = {f"p{i:03}": str(i) * 100 for i in range(250)}
    model = client.create_logged_model(experiment, params=params)
    assert model.params == params
    assert client.get_logged_model(model.model_id).params == params


def test_of_equal_tag_keys_the_last_counts(client, experiment, call):
    model = client.create_logged_model(experiment).model_id
    assert call("PATCH", f"logged-models/{model}/tags", {"tags": [
        {"key": "a", "value": "1"}, {"key": "b"}, {"key": "a", "value": "2"}]}) == (200, {})
    assert client.get_logged_model(model).tags == {"a": "2", "b": ""}


@pytest.mark.parametrize("key", ["a b", "é", "it's", "a?b", "%41", "a+b", "x=y&z", "100%"])
def test_tag_keys_are_percent_decoded(client, experiment, call, key):
    model = client.create_logged_model(experiment, tags={key: "v"}).model_id
    path = f"logged-models/{model}/tags/{requests.utils.quote(key, safe='')}"
    assert call("DELETE", path) == (200, {})
    assert client.get_logged_model(model).tags == {}
    status, answer = call("DELETE", path)
    assert (status, answer["message"]) == \
        (404, f"No tag with key {key!r} found for model with ID {model!r}.")


@pytest.mark.parametrize("method,path,body", [
    ("GET", "{}", None), ("DELETE", "{}", None), ("DELETE", "{}/tags/k", None),
    ("PATCH", "{}/tags", {"tags": []}), ("POST", "{}/params", {"model_id": "x", "params": []}),
    ("PATCH", "x", {"model_id": UNKNOWN, "status": 2})])
def test_unknown_models(call, method, path, body):
    status, answer = call(method, "logged-models/" + path.format(UNKNOWN), body)
    assert (status, answer["error_code"], answer["message"]) == \
        (404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with ID '{UNKNOWN}' not found.")


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b"])
def test_names_that_are_refused(client, experiment, name):
    with pytest.raises(MlflowException) as e:
        client.create_logged_model(experiment, name=name)
    assert e.value.error_code == "INVALID_PARAMETER_VALUE"
    assert f"Invalid model name ({name!r}) provided." in str(e.value)


def test_experiments_must_be_there_and_active(client, experiment, call):
    assert call("POST", "logged-models", {"experiment_id": "987654321"})[1]["message"] == \
        "No Experiment with id=987654321 exists"
    assert call("POST", "logged-models", {"experiment_id": "x"})[1]["message"] == \
        "Invalid experiment ID 'x'. Experiment ID must be a valid integer."
    client.delete_experiment(experiment)
    status, answer = call("POST", "logged-models", {"experiment_id": experiment})
    assert (status, answer["message"]) == \
        (400, f"The experiment {experiment} must be in the 'active' state. "
              "Current state is deleted.")


def test_nothing_is_written_when_a_part_is_refused(client, experiment, call):
    for part in ({"tags": [{"key": "k" * 256}]}, {"params": [{"key": "a\0"}]},
                 {"name": "n" * 501}, {"source_run_id": "r" * 33},
                 {"params": [{"key": "a"}, {"key": "a"}]}):
        status, answer = call("POST", "logged-models", {"experiment_id": experiment, **part})
        assert (status, answer["error_code"]) == (400, "BAD_REQUEST")
    assert client.search_logged_models([experiment]) == []


def test_two_clients_tag_one_model(client, experiment):
    model = client.create_logged_model(experiment).model_id
    failed = []

    def tag(order):
        try:
            for i in range(20):
                client.set_logged_model_tags(model, {f"k{k}": str(i) for k in order})
        except MlflowException as e:
            failed.append(e)

    threads = [threading.Thread(target=tag, args=(order,))
               for order in (range(30), range(29, -1, -1))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert client.get_logged_model(model).tags == {f"k{k}": "19" for k in range(30)}


# --- metrics, inputs, outputs -----------------------------------------------------------------------

def test_metrics_of_a_model_are_all_that_were_logged(client, experiment, run):
    model = client.create_logged_model(experiment, source_run_id=run).model_id
    other = client.create_run(experiment).info.run_id
    log(client, run, model, "acc", 0.5, 1, 0)
    log(client, run, model, "acc", 0.75, 2, 1, ("train", "d1"))
    log(client, other, model, "loss", float("nan"), 3)
    client.log_metric(run, "acc", 0.9, timestamp=4, step=2, model_id=model)
    client.log_metric(run, "unrelated", 1)
    wanted = [("acc", 0.5, 1, 0, run, None, None), ("acc", 0.75, 2, 1, run, "train", "d1"),
              ("acc", 0.9, 4, 2, run, None, None), ("loss", 0.0, 3, 0, other, None, None)]

    def shown(m):
        return sorted((x.key, x.value, x.timestamp, x.step, x.run_id, x.dataset_name or None,
                       x.dataset_digest or None) for x in m.metrics)

    assert shown(client.get_logged_model(model)) == wanted
    (found,) = client.search_logged_models([experiment])
    assert shown(found) == wanted
    assert shown(client.finalize_logged_model(model, LoggedModelStatus.READY)) == wanted
    assert client.get_run(run).data.metrics == {"acc": 0.9, "unrelated": 1.0}


def test_runs_show_the_models_they_read_and_made(client, experiment, run):
    read, made = (client.create_logged_model(experiment).model_id for _ in range(2))
    client.log_inputs(run, models=[LoggedModelInput(read)])
    client.log_outputs(run, models=[LoggedModelOutput(made, 3)])
    got = client.get_run(run)
    assert [m.model_id for m in got.inputs.model_inputs] == [read]
    assert [(m.model_id, m.step) for m in got.outputs.model_outputs] == [(made, 3)]
    (found,) = client.search_runs([experiment])
    assert [(m.model_id, m.step) for m in found.outputs.model_outputs] == [(made, 3)]


def test_log_model_end_to_end(client, tmp_path):
    """All that mlflow.pyfunc.log_model asks of the tracking server; artifacts stay with the client."""
    location = f"file://{tmp_path}"
    experiment = client.create_experiment("exp-" + uuid.uuid4().hex, artifact_location=location)

    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    with mlflow.start_run(experiment_id=experiment) as active:
        info = mlflow.pyfunc.log_model(name="echo", python_model=Echo(), params={"lr": 0.5},
                                       pip_requirements=[])
        mlflow.log_metric("acc", 0.5, model_id=info.model_id)
    model = mlflow.get_logged_model(info.model_id)
    assert (model.name, model.status, model.source_run_id) == \
        ("echo", LoggedModelStatus.READY, active.info.run_id)
    assert model.artifact_location == f"{location}/models/{info.model_id}/artifacts"
    assert model.params == {"lr": "0.5"}
    assert [(m.key, m.value) for m in model.metrics] == [("acc", 0.5)]
    got = client.get_run(active.info.run_id)
    assert [m.model_id for m in got.outputs.model_outputs] == [info.model_id]
    assert mlflow.pyfunc.load_model(f"models:/{info.model_id}").predict([1]) == [1]
    with mlflow.start_run(experiment_id=experiment):
        found = mlflow.search_logged_models([experiment], "metrics.acc > 0.4",
                                            output_format="list")
    assert [m.model_id for m in found] == [info.model_id]


# --- search ---------------------------------------------------------------------------------------

class Three:
    """Models A, B, C, made in this order, found by their names."""

    def __init__(self, client, call):
        self.call = call
        self.experiment = client.create_experiment("exp-" + uuid.uuid4().hex)
        self.run = client.create_run(self.experiment).info.run_id
        self.ids = {}
        for name, more in (
                ("A", {"model_type": "cnn", "params": {"lr": "0.1", "p q": "z"},
                       "tags": {"k": "v"}}),
                ("B", {"model_type": "CNN", "params": {"lr": "0.2"}, "tags": {"k": "V"}}),
                ("C", {})):
            made = client.create_logged_model(self.experiment, name=name, **more)
            self.ids[name] = made.model_id
            while time.time() * 1000 < made.creation_timestamp + 1:
                pass  # two models of one millisecond would come in the order of their ids
        for model, key, value, timestamp, dataset in (
                ("A", "acc", 0.5, 1, ()), ("A", "acc", 0.9, 2, ()), ("A", "loss", 3, 1, ()),
                ("B", "acc", 0.7, 1, ("ds", "d1")), ("B", "loss", float("nan"), 1, ()),
                ("C", "acc", 2, 1, ())):
            log(client, self.run, self.ids[model], key, value, timestamp,
                dataset=dataset or (None, None))

    def search(self, **body):
        return self.call("POST", "logged-models/search",
                         {"experiment_ids": [self.experiment], **body})

    def names(self, **body):
        status, answer = self.search(**body)
        assert status == 200, answer
        return "".join(m["info"]["name"] for m in answer.get("models", []))


@pytest.fixture(scope="module")
def three(client, target):
    def send(method, path, body):
        got = requests.request(method, f"{target.url}/api/2.0/mlflow/{path}", json=body,
                               timeout=30)
        return got.status_code, got.json()
    return Three(client, send)


@pytest.mark.parametrize("text,names", [
    ("", "CBA"), ("name = 'A'", "A"), ("name = A", "A"), ('name = "A"', ""),
    ("name in ('A', 'B')", "BA"), ("name NOT IN ('A')", "CB"), ("name NOT IN ('A', None)", ""),
    ("name = ('A')", ""), ("model_type ILIKE 'Cnn'", "BA"), ("model_type != 'cnn'", "CB"),
    ("status_message = (None)", "CBA"), ("status IN (1, 2)", "CBA"), ("status = (2)", ""),
    ("creation_timestamp > 1.5", "CBA"), ("creation_timestamp > nan", ""),
    ("attributes.`name` = 'A'", "A"), ("lifecycle_stage = 'deleted'", ""),
    ("metrics.acc = 0.5", "A"), ("metrics.acc > 0.8", "CA"), ("metrics.loss = 0", "B"),
    ("metrics.acc = 0.9 AND metrics.acc = 0.5", "A"), ("metrics.acc < NaN", "CBA"),
    ("params.lr = 0.1", "A"), ("params.`p q` = 'z'", "A"), ("params.lr LIKE '0%'", "BA"),
    ("tags.k != 'v'", "B"), ("tags.k ILIKE 'V'", "BA"), ("tags.k IN ('v', 'w')", "A"),
    ("name = 'A' AND metrics.acc > 0.8", "A"), ("name = 'A' name = 'B'", ""),
    (" AND ".join(["metrics.acc > 0"] * 20), "CBA")])
def test_filters(three, text, names):
    assert three.names(filter=text) == names


@pytest.mark.parametrize("text,status,message", [
    ("attribute.name = 'A'", 400, "Invalid entity type: 'attribute'. Expected one of "
                                  "['attributes', 'metrics', 'params', 'tags']."),
    ("creation_timestamp > '1'", 500, "could not convert string to float: \"'1'\""),
    ("params.lr > 0.15", 400, "Invalid comparison operator for params.lr: '>'. Expected one of "
                              "('=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN')."),
    ("tags.k IS NULL", 400, "Invalid comparison: tags.kIS NULL. Expected a comparison with 3 "
                            "tokens."),
    ("name = 'A' OR name = 'B'", 400,
     "Invalid filter string: \"name = 'A' OR name = 'B'\". Expected a list of comparisons "
     "separated by 'AND' (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01')."),
    (" ", 400, "Invalid filter string: ' '. Expected a single SQL expression."),
    ("bogus = 'x'", 500, "type object 'SqlLoggedModel' has no attribute 'bogus'")])
def test_filters_that_are_refused(three, text, status, message):
    got, answer = three.search(filter=text)
    assert (got, answer["message"]) == (status, message)
    assert answer["error_code"] == ("INVALID_PARAMETER_VALUE" if got == 400 else "INTERNAL_ERROR")


@pytest.mark.parametrize("text", ["status = 1", "experiment_id = '1'", "name IN (1, 2)",
                                  "status IN (99999999999, 1)", "name = 'a\0b'"])
def test_values_that_postgresql_refuses(three, text):
    status, answer = three.search(filter=text)
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("order,names", [
    ([{"field_name": "name"}], "ABC"), ([{"field_name": "name", "ascending": False}], "CBA"),
    ([{"field_name": "metrics.acc"}], "BAC"),
    ([{"field_name": "metrics.acc", "ascending": False}], "CAB"),
    ([{"field_name": "metrics.acc", "dataset_name": "ds"}], "BCA"),
    ([{"field_name": "metrics.acc", "dataset_name": "ds", "dataset_digest": "d2"}], "CBA"),
    ([{"field_name": "metrics.loss"}, {"field_name": "metrics.acc"}], "BAC"),
    ([{"field_name": "metrics.loss", "ascending": False}], "ABC"),
    ([{"field_name": "creation_time"}], "ABC"), ([{"field_name": "status_message"}], "CBA")])
def test_order(three, order, names):
    assert three.names(order_by=order) == names


@pytest.mark.parametrize("field,error_class,message", [
    ("bogus", "ATTRIBUTE_NOT_FOUND", "Invalid order by field name: bogus"),
    ("params.lr", "INVALID_PARAMETER_VALUE",
     "Invalid order by field name: params.lr. Only metrics are supported.")])
def test_orders_that_are_refused(three, field, error_class, message):
    status, answer = three.search(order_by=[{"field_name": field}])
    assert (status, answer["error_code"], answer["error_class"], answer["message"]) == \
        (400, "INVALID_PARAMETER_VALUE", error_class, message)


@pytest.mark.parametrize("datasets,more,names", [
    ([{"dataset_name": "ds", "dataset_digest": "d1"}], {}, "B"),
    ([{"dataset_name": "ds"}], {}, ""),
    ([{"dataset_name": "q"}, {"dataset_name": "ds", "dataset_digest": "d1"}],
     {"filter": "metrics.acc > 0"}, "B"),
    ([{"dataset_name": "ds", "dataset_digest": "d1"}], {"filter": "metrics.loss = 0"}, ""),
    ([], {}, "CBA")])
def test_datasets(three, datasets, more, names):
    assert three.names(datasets=datasets, **more) == names


def test_datasets_need_a_name(three):
    assert three.search(datasets=[{"dataset_digest": "d1"}])[1]["message"] == \
        "`dataset_name` in the `datasets` clause must be specified."


def test_pages(three):
    names, token = "", None
    while True:
        status, page = three.search(max_results=1, order_by=[{"field_name": "name"}],
                                    filter="name != 'é'", page_token=token)
        assert status == 200
        names += "".join(m["info"]["name"] for m in page["models"])
        token = page.get("next_page_token")
        if not token:
            break
        assert json.loads(base64.b64decode(token)) == {
            "experiment_ids": [three.experiment], "filter_string": "name != 'é'",
            "order_by": [{"field_name": "name", "ascending": True, "dataset_name": None,
                          "dataset_digest": None}], "offset": len(names)}
    assert names == "ABC"


def test_tokens_belong_to_their_search(three):
    token = three.search(max_results=1)[1]["next_page_token"]
    assert three.search(max_results=1, page_token=token, filter="name = 'B'")[1]["message"] == \
        "Filter string in the page token does not match the requested filter string. " \
        "Expected: name = 'B'. Found: None"
    assert three.search(page_token="eyJhIjox")[1]["message"] == \
        "Invalid page token: eyJhIjox. Expecting ',' delimiter: line 1 column 7 (char 6)"
    answer = three.search(page_token=token, experiment_ids=["7777"])[1]
    assert answer["message"].endswith(f"Expected: ['7777']. Found: ['{three.experiment}']")


@pytest.mark.parametrize("most,names", [(0, "CBA"), (1, "C"), (3, "CBA"), (2**31 - 1, "CBA"),
                                        (-1, "")])
def test_max_results(three, most, names):
    assert three.names(max_results=most) == names


def test_max_results_below_minus_one(three):
    status, answer = three.search(max_results=-2)
    assert (status, answer["error_code"]) == (400, "BAD_REQUEST")


def test_a_page_holds_fifty_and_many_metrics_do_not_multiply_it(client, call):
    experiment = client.create_experiment("exp-" + uuid.uuid4().hex)
    run = client.create_run(experiment).info.run_id
    models = [client.create_logged_model(experiment, name=f"m{i:02}").model_id for i in range(51)]
    client.log_batch(run, metrics=[Metric("acc", 1.0, t, t, model_id=m)
                                   for m in models[:19] for t in range(50)])
    ids = []
    body = {"experiment_ids": [experiment], "filter": "metrics.acc > 0 AND metrics.acc < 2",
            "max_results": 10, "order_by": [{"field_name": "metrics.acc"}]}
    while True:
        status, page = call("POST", "logged-models/search", body)
        assert status == 200
        ids += [m["info"]["model_id"] for m in page["models"]]
        assert all(len(m["data"]["metrics"]) == 50 for m in page["models"])
        if "next_page_token" not in page:
            break
        body["page_token"] = page["next_page_token"]
    assert sorted(ids) == sorted(models[:19])
    page = call("POST", "logged-models/search", {"experiment_ids": [experiment]})[1]
    assert len(page["models"]) == 50 and page["next_page_token"]
