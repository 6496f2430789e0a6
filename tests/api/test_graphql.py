"""GraphQL: the documents that MLflow's pages send, its errors, its limits.

What is here holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for the tests that have
both: those compare the two byte for byte, on one database. The documents of the pages are taken from
the pages themselves, as the mlflow package brings them.
"""

import glob
import json
import math
import os
import re
import uuid

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import (Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput,
                             Metric, Param, RunTag)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROWS = os.path.join(ROOT, "tests/unit/graphql_rows.def")
INPUTS = {"GetRun": "data", "SearchRuns": "data", "GetMetricHistoryBulkInterval": "data",
          "MlflowGetExperimentQuery": "input"}
NONE = "f" * 32


def documents_of_pages():
    """Operation name -> document, from the JavaScript of the pages."""
    folder = os.path.join(os.path.dirname(mlflow.__file__), "server/js/build/static/js")
    found = {}
    for path in glob.glob(os.path.join(folder, "*.js")):
        with open(path, encoding="utf-8") as f:
            for text in re.findall(r"`(\s*(?:query|mutation|fragment)\s+\w+[^`]*\{[^`]*)`", f.read()):
                found[text.split()[1].split("(")[0]] = text
    return found


PAGES = documents_of_pages()


def rows_of_stock():
    """(document, variables, errors) of graphql_rows.def, whose strings are JSON strings too."""
    with open(ROWS, encoding="utf-8") as f:
        text = f.read()
    return [tuple(json.loads(s) for s in re.findall(r'"(?:[^"\\]|\\.)*"', row))
            for row in re.findall(r"^ROW\(.*\n.*\)$", text, re.M)]


def send(server, query, variables=None, url="/graphql", **more):
    body = {"query": query, **more}
    if variables is not None:
        body["variables"] = variables
    return requests.post(server.url + url, json=body, timeout=60)


def ask(server, query, variables=None, **more):
    """data and errors of a 200."""
    answer = send(server, query, variables, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"data", "errors"}
    return answer.json()["data"], answer.json()["errors"]


def page(server, name, **values):
    """data of an operation of the pages."""
    data, errors = ask(server, PAGES[name], {INPUTS[name]: values}, operationName=name)
    assert errors is None
    return data


class World:
    """One experiment with two runs, one of them with everything a run can have."""

    def __init__(self, client, sql):
        self.experiment = client.create_experiment("exp-" + uuid.uuid4().hex,
                                                   tags={"team": "é✓"})
        made = client.create_run(self.experiment, start_time=2**53 + 1, run_name="naïve ✓")
        self.run, self.uri = made.info.run_id, made.info.artifact_uri
        client.log_batch(self.run, [
            Metric("loss", 0.1, 2**60, -3), Metric("loss", 1e-5, 5, 9), Metric("big", 2.0**70, 1, 0),
            Metric("none", math.nan, 1, 0), Metric("most", math.inf, 1, 0)],
            [Param("p", "v"), Param("q", "'\"\\\n")], [RunTag("k", "<&>")])
        client.log_inputs(self.run, [DatasetInput(Dataset("d", "1", "local", "s", schema="{}"),
                                                  [InputTag("context", "train")])],
                          [LoggedModelInput("m-in")])
        client.log_outputs(self.run, [LoggedModelOutput("m-out", 7)])
        client.set_terminated(self.run, end_time=2**53 + 2)
        self.other = client.create_run(self.experiment, start_time=1).info.run_id
        client.delete_run(self.other)
        self.model = "model-" + self.run
        sql.execute("INSERT INTO registered_models (workspace, name, creation_time, "
                    "last_updated_time) VALUES ('default', %s, 1, 2)", (self.model,))
        for version, stage, updated in ((1, "None", 10), (2, "Production", 30), (3, "None", 20),
                                        (4, "Deleted_Internal", 40)):
            sql.execute("INSERT INTO model_versions (workspace, name, version, creation_time, "
                        "last_updated_time, current_stage, source, run_id, status, description) "
                        "VALUES ('default', %s, %s, 5, %s, %s, 's', %s, 'READY', %s)",
                        (self.model, version, updated, stage, self.run, None if version == 1 else "d"))
        sql.execute("INSERT INTO model_version_tags (workspace, name, version, key, value) "
                    "VALUES ('default', %s, 2, 'k', 'v')", (self.model,))


@pytest.fixture(scope="module")
def client(target):
    mlflow.set_tracking_uri(target.url)
    return MlflowClient(target.url)


@pytest.fixture(scope="module")
def world(client, database):
    import psycopg

    with psycopg.connect(database, autocommit=True) as pg:
        yield World(client, pg)


# --- what the pages send --------------------------------------------------------------------------

def test_the_pages_send_these_operations():
    assert set(PAGES) == set(INPUTS)


def test_get_run(target, world):
    answer = page(target, "GetRun", runId=world.run)["mlflowGetRun"]
    run = answer["run"]
    assert answer["apiError"] is None
    assert run["info"] == {
        "runName": "naïve ✓", "status": "FINISHED", "runUuid": world.run,
        "experimentId": world.experiment, "artifactUri": world.uri, "endTime": str(2**53 + 2),
        "lifecycleStage": "active", "startTime": str(2**53 + 1), "userId": "root"} | {
            "userId": run["info"]["userId"]}
    assert run["experiment"]["experimentId"] == world.experiment
    assert run["experiment"]["tags"] == [{"key": "team", "value": "é✓"}]
    assert re.fullmatch(r"\d+", run["experiment"]["lastUpdateTime"])
    assert run["modelVersions"] == [
        {"status": "READY", "version": v, "name": world.model, "source": "s"} for v in "231"]
    assert sorted((m["key"], m["value"], m["step"], m["timestamp"])
                  for m in run["data"]["metrics"] if m["value"] is not None) == [
        ("big", 2.0**70, "0", "1"), ("loss", 1e-5, "9", "5"),
        ("most", 1.7976931348623157e308, "0", "1")]
    assert [m["key"] for m in run["data"]["metrics"] if m["value"] is None] == ["none"]
    assert sorted((p["key"], p["value"]) for p in run["data"]["params"]) == [
        ("p", "v"), ("q", "'\"\\\n")]
    assert {"key": "k", "value": "<&>"} in run["data"]["tags"]
    assert run["inputs"] == {
        "datasetInputs": [{"dataset": {"digest": "1", "name": "d", "profile": "", "schema": "{}",
                                       "source": "s", "sourceType": "local"},
                           "tags": [{"key": "context", "value": "train"}]}],
        "modelInputs": [{"modelId": "m-in"}]}
    assert run["outputs"] == {"modelOutputs": [{"modelId": "m-out", "step": "7"}]}


def test_get_run_of_a_deleted_run(target, world):
    run = page(target, "GetRun", runUuid=world.other)["mlflowGetRun"]["run"]
    assert run["info"]["lifecycleStage"] == "deleted"
    assert run["info"]["endTime"] == "0"
    assert run["modelVersions"] == []


def test_search_runs(target, world):
    found = page(target, "SearchRuns", experimentIds=[world.experiment],
                 filter="params.p = 'v' and metrics.loss < 1")["mlflowSearchRuns"]
    (run,) = found["runs"]
    assert found["apiError"] is None
    assert run["info"]["runUuid"] == world.run
    assert run["experiment"]["name"].startswith("exp-")
    assert run["inputs"]["modelInputs"] == []  # searches do not show them
    assert run["outputs"] == {"modelOutputs": [{"modelId": "m-out", "step": "7"}]}
    assert [v["version"] for v in run["modelVersions"]] == ["2", "3", "1"]
    assert page(target, "SearchRuns", experimentIds=[world.experiment],
                filter="params.p = 'w'")["mlflowSearchRuns"]["runs"] == []


def test_get_experiment(target, world):
    answer = page(target, "MlflowGetExperimentQuery", experimentId=world.experiment)
    experiment = answer["mlflowGetExperiment"]["experiment"]
    assert experiment["tags"] == [{"key": "team", "value": "é✓"}]
    assert experiment["lifecycleStage"] == "active"
    assert experiment["artifactLocation"].endswith("/" + world.experiment)
    assert experiment["effectiveTraceArchivalRetention"] == ""
    assert experiment["creationTime"] == experiment["lastUpdateTime"]


def test_sampled_history(target, client, world):
    runs = [client.create_run(world.experiment).info.run_id for _ in range(2)]
    for run, n in zip(runs, (3000, 2)):
        for begin in range(0, n, 1000):
            client.log_batch(run, [Metric("m", i / 2, i, i) for i in range(begin, min(n, begin + 1000))])
    answer = page(target, "GetMetricHistoryBulkInterval", runIds=[*runs, NONE], metricKey="m",
                  maxResults=320)["mlflowGetMetricHistoryBulkInterval"]
    assert answer["__typename"] == "MlflowGetMetricHistoryBulkIntervalResponse"
    of_first = [m for m in answer["metrics"] if m["runId"] == runs[0]]
    assert len(of_first) == 2500  # the limit in the argument counts for nothing
    assert of_first[0] == {"timestamp": "0", "step": "0", "runId": runs[0], "key": "m", "value": 0.0}
    assert of_first[-1]["step"] == "2999"
    assert [m["step"] for m in answer["metrics"] if m["runId"] == runs[1]] == ["0", "1"]


def test_sampled_history_reads_the_query_of_the_url(target, client, world):
    run = client.create_run(world.experiment).info.run_id
    client.log_batch(run, [Metric("m", i, i, i) for i in range(10)])
    query = '{mlflowGetMetricHistoryBulkInterval(input:{runIds:["%s"],metricKey:"m"})%s}' % (
        run, "{metrics{step}}")

    def steps(url):
        data, errors = ask(target, query, url="/graphql" + url)
        return (errors or
                [int(m["step"]) for m in data["mlflowGetMetricHistoryBulkInterval"]["metrics"]])

    assert steps("?max_results=2") == [0, 9]
    assert steps("?max_results=0") == [9]
    assert steps("?start_step=3&end_step=5") == [3, 4, 5]
    assert steps("?start_step=5&end_step=3") == [
        "end_step must be greater than start_step. Found start_step=5 and end_step=3."]
    assert steps("?start_step=5") == [
        "If either start step or end step are specified, both must be specified."]


def test_a_nan_is_an_error_where_it_has_no_null(target, client, world):
    run = client.create_run(world.experiment).info.run_id
    client.log_batch(run, [Metric("m", math.nan if i % 2 else i, i, i) for i in range(4)])
    data, errors = ask(target, "query($i:MlflowGetMetricHistoryBulkIntervalInput)"
                       "{mlflowGetMetricHistoryBulkInterval(input:$i){metrics{value}}}",
                       {"i": {"runIds": [run], "metricKey": "m"}})
    assert data == {"mlflowGetMetricHistoryBulkInterval":
                    {"metrics": [{"value": v} for v in (0.0, None, 2.0, None)]}}
    assert errors == ["Float cannot represent non numeric value: nan"] * 2


def test_a_run_is_read_with_what_was_just_written(target, client, world):
    run = client.create_run(world.experiment).info.run_id
    for step in range(20):
        client.log_metric(run, "m", step, step=step)
        metrics = page(target, "GetRun", runId=run)["mlflowGetRun"]["run"]["data"]["metrics"]
        assert [(m["step"], m["value"]) for m in metrics] == [(str(step), float(step))]


def test_pages_of_a_search(target, client):
    experiment = client.create_experiment("exp-" + uuid.uuid4().hex)
    runs = [client.create_run(experiment, start_time=i).info.run_id for i in range(1, 6)]
    query = ("query($t:String){mlflowSearchRuns(input:{experimentIds:[\"%s\"],maxResults:2,"
             "pageToken:$t}){nextPageToken runs{info{runId}}}}" % experiment)
    token, got = None, []
    for expected in (2, 2, 1):
        data, errors = ask(target, query, {"t": token})
        assert errors is None
        found = data["mlflowSearchRuns"]["runs"]
        assert len(found) == expected
        got += [r["info"]["runId"] for r in found]
        token = data["mlflowSearchRuns"]["nextPageToken"]
    assert token == ""
    assert got == runs[::-1]


# --- errors ---------------------------------------------------------------------------------------

def test_a_failed_field_is_null_and_the_others_are_there(target, world):
    data, errors = ask(target, '{z:mlflowGetRun(input:{runId:"q1"}){run{info{runId}}}'
                       'ok:mlflowGetRun(input:{runId:"%s"}){run{info{runId}}}'
                       'a:mlflowGetRun(input:{runId:"q2"}){run{info{runId}}}'
                       't:test(inputString:"x"){output __typename}}' % world.run)
    assert data == {"z": None, "a": None, "ok": {"run": {"info": {"runId": world.run}}},
                    "t": {"output": "x", "__typename": "Test"}}
    assert errors == ["Run with id=q1 not found", "Run with id=q2 not found"]


@pytest.mark.parametrize("field, error", [
    ("mlflowGetRun{run{info{runId}}}",
     "QueryType.resolve_mlflow_get_run() missing 1 required positional argument: 'input'"),
    ("mlflowGetRun(input:null){run{info{runId}}}", "vars() argument must have __dict__ attribute"),
    ("mlflowGetRun(input:{}){run{info{runId}}}", "Run with id= not found"),
    ("test{output}", "Query.resolve_test() missing 1 required positional argument: 'input_string'"),
    ("mlflowListArtifacts(input:{runId:\"q\"}){rootUri}", "Run with id=q not found"),
    ("mlflowGetExperiment(input:{experimentId:\"987654\"}){experiment{name}}",
     "No Experiment with id=987654 exists"),
    ("mlflowGetExperiment(input:{experimentId:\"x\"}){experiment{name}}",
     "Invalid experiment ID 'x'. Experiment ID must be a valid integer."),
    ("mlflowSearchRuns(input:{maxResults:0}){nextPageToken}",
     "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"),
    ("mlflowSearchRuns(input:{maxResults:50001}){nextPageToken}",
     "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000"),
    ("mlflowSearchRuns(input:{filter:\"bad\"}){nextPageToken}",
     "Invalid clause(s) in filter string: 'bad'"),
    ("mlflowSearchRuns(input:{pageToken:\"x\"}){nextPageToken}",
     "Invalid page token, could not base64-decode"),
    ("mlflowSearchRuns(input:{experimentIds:[null]}){nextPageToken}",
     "Failed to parse experiment_ids field: null is not allowed to be used as an element in a"
     " repeated field at SearchRuns.experiment_ids[0]."),
])
def test_errors_of_a_field(target, field, error):
    data, errors = ask(target, "{f:" + field + "}")
    assert (data, errors) == ({"f": None}, [error])


def test_a_lone_surrogate_is_no_run_id(target):
    data, errors = ask(target, "query($i:String){mlflowGetRun(input:{runId:$i}){run{info{runId}}}}",
                       {"i": "\ud800"})
    assert data == {"mlflowGetRun": None}
    assert errors == ["Failed to parse run_id field: Unpaired surrogate at GetRun.run_id."]


def test_a_nul_is_refused(target):
    _, errors = ask(target, '{mlflowGetRun(input:{runId:"a\\u0000"}){run{info{runId}}}}')
    (error,) = errors
    assert error.startswith("(psycopg.DataError) PostgreSQL text fields cannot contain NUL")


def test_documents_are_refused_in_stocks_words(target):
    rows = rows_of_stock()
    assert len(rows) > 150
    for query, variables, errors in rows:
        answer = ask(target, query, json.loads(variables) if variables else None)
        assert answer == (None, errors.split("\n")), (query, variables)


@pytest.mark.parametrize("query, name, answer", [
    ("query A{__typename} query B{x:__typename}", "B", ({"x": "Query"}, None)),
    ("query A{__typename} query B{__typename}", None,
     (None, ["Must provide operation name if query contains multiple operations."])),
    ("query A{__typename}", "B", (None, ["Unknown operation named 'B'."])),
    ("{__typename}", "", (None, ["Unknown operation named ''."])),
    ("mutation{__typename}", None, ({"__typename": "Mutation"}, None)),
    ("mutation{testMutation(inputString:\"a\"){output}}", None, ({"testMutation": None}, None)),
    ("subscription{a}", None,
     (None, ["Schema is not configured to execute subscription operation."])),
])
def test_operations_by_name(target, query, name, answer):
    more = {} if name is None else {"operationName": name}
    assert ask(target, query, **more) == answer


# --- HTTP -----------------------------------------------------------------------------------------

def test_the_answer_is_compact_and_sorted(target):
    text = send(target, '{z:__typename b:__typename test(inputString:"é\\u0000/<"){output}}').text
    assert text == ('{"data":{"b":"Query","test":{"output":"\\u00e9\\u0000/<"},"z":"Query"},'
                    '"errors":null}\n')


def test_a_get_takes_its_body(target):
    url = target.url + "/graphql"
    body = '{"query":"{test(inputString:\\"a\\"){output}}"}'
    assert requests.get(url, data=body, timeout=30).json()["data"] == {"test": {"output": "a"}}
    answer = requests.post(url, data=body, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["message"] == "Bad Request. Content-Type header is missing."


@pytest.mark.parametrize("body", [
    "", "null", "[]", "1", "x", "{}", '{"query":null}', '{"query":5}', '{"query":""}',
    '{"query":"{"}', '{"query":"{__typename}","variables":[]}',
    '{"query":"{__typename}","variables":"x"}', '"{\\"query\\":\\"{__typename}\\"}"'])
def test_what_is_no_graphql_is_a_bad_request(sluice, body):
    """A stock server breaks: 500, HTML."""
    answer = requests.post(sluice.url + "/graphql", data=body, timeout=30,
                           headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_what_is_not_built_says_so(sluice, world):
    data, errors = ask(sluice, "{f:mlflowSearchModelVersions(input:{}){nextPageToken}}")
    assert data == {"f": None}
    assert "not built" in errors[0]
    data, errors = ask(sluice, "{__schema{types{name}}}")
    assert data is None
    assert errors == ["Introspection ('__schema') is not answered by this server."]
    data, errors = ask(sluice, '{mlflowListArtifacts(input:{runId:"%s"}){rootUri files{path}}}'
                       % world.run)
    assert (data, errors) == ({"mlflowListArtifacts": {"rootUri": world.uri, "files": []}}, None)


def test_a_large_document_is_refused(sluice):
    for query in ("{" + "a " * 8192 + "}", "{a" * 65 + "}" * 65, "{__typename}" * 65,
                  "{__typename}" + " " * 65536,
                  '{test(inputString:%s1%s){output}}' % ("[" * 65, "]" * 65)):
        answer = send(sluice, query)
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("The query ")


# --- both -----------------------------------------------------------------------------------------

def fields_of(answer):
    """Every field of every type that MLflow has, to ask for at once, from its introspection."""
    types = {t["name"]: t for t in answer["data"]["__schema"]["types"]}

    def named(t):
        while t["ofType"]:
            t = t["ofType"]
        return t

    def selection(name):
        parts = ["__typename"]
        for field in types[name]["fields"]:
            t = named(field["type"])
            parts.append(field["name"] + (selection(t["name"]) if t["kind"] == "OBJECT" else ""))
        return "{" + " ".join(parts) + "}"

    return selection


INTROSPECTION = ("{__schema{types{name fields{name type{name kind ofType{name kind ofType"
                 "{name kind ofType{name kind ofType{name}}}}}}}}}")


def test_every_field_is_the_same(sluice, stock, world):
    selection = fields_of(send(stock, INTROSPECTION).json())
    asked = [
        '{mlflowGetRun(input:{runId:"%s"})%s}' % (world.run, selection("MlflowGetRunResponse")),
        '{mlflowGetRun(input:{runId:"%s"})%s}' % (world.other, selection("MlflowGetRunResponse")),
        '{mlflowSearchRuns(input:{experimentIds:["%s"],orderBy:["metrics.loss"]})%s}' % (
            world.experiment, selection("MlflowSearchRunsResponse")),
        'mutation{mlflowSearchRuns(input:{experimentIds:["%s"],maxResults:1})%s}' % (
            world.experiment, selection("MlflowSearchRunsResponse")),
        '{mlflowGetExperiment(input:{experimentId:"%s"})%s}' % (
            world.experiment, selection("MlflowGetExperimentResponse")),
        '{mlflowGetMetricHistoryBulkInterval(input:{runIds:["%s"],metricKey:"loss"})%s}' % (
            world.run, selection("MlflowGetMetricHistoryBulkIntervalResponse"))]
    for query in asked:
        ours, theirs = send(sluice, query), send(stock, query)
        assert in_order(ours.json()) == in_order(theirs.json()), query


def in_order(value):
    """With lists that have no order of their own (metrics, params, tags) sorted."""
    if isinstance(value, dict):
        return {k: sorted(map(in_order, v), key=str) if k in ("metrics", "params", "tags") and v
                else in_order(v) for k, v in value.items()}
    return [in_order(v) for v in value] if isinstance(value, list) else value


def test_pages_get_the_same_bytes(sluice, stock, client, world):
    run = client.create_run(world.experiment).info.run_id
    client.log_batch(run, [Metric("m", i * 0.1, i, i) for i in range(100)])
    values = {"GetRun": [{"runId": run}, {"runId": NONE}, {"runId": world.other}],
              "SearchRuns": [{"experimentIds": [world.experiment], "filter": "metrics.m > 1"},
                             {"experimentIds": [], "filter": ""}, {"filter": "bad"}],
              "MlflowGetExperimentQuery": [{"experimentId": world.experiment}, {}],
              "GetMetricHistoryBulkInterval": [{"runIds": [run, NONE], "metricKey": "m",
                                                "startStep": 1, "endStep": 5, "maxResults": 3}]}
    for name, inputs in values.items():
        for value in inputs:
            sent = (PAGES[name], {INPUTS[name]: value})
            ours, theirs = send(sluice, *sent), send(stock, *sent)
            assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text), (name, value)
