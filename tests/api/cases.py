"""The table of test_http.py: what goes over the wire, and what must come back.

A row is post(...) or get(...): a name, a path, what is sent, and the answer. In paths, bodies and
messages $run, $gone (a deleted run), $none (no such run), $exp, $goneexp, $expname and $goneexpname
stand for things that each row gets afresh; $params is a run with params a=1, b=2 and
$tags one with the tag a=1. A row says
  ok(answer)                 200 and this JSON
  bad(message)               400 INVALID_PARAMETER_VALUE, the message word for word
  err(status, code, message) message None: the driver's own words, not compared
and may add rows=(SQL, expected rows) and stock=... where a stock server answers otherwise; each
such row is one of the chosen differences of docs/differences.md. Every row, with its stock=
answer where it has one, has passed against MLflow 3.17.2: SLUICE_TEST_TARGET=stock.
"""

import json
from dataclasses import dataclass, field

SEE = " See the API docs for more information about request parameters."
JSON = {"Content-Type": "application/json"}
HTML = ("html",)  # stock only: an HTML page, not MLflow's JSON
LONG_KEY = "k" * 251


@dataclass
class Case:
    name: str
    method: str
    path: str
    sent: object
    answer: tuple
    headers: dict = field(default_factory=lambda: dict(JSON))
    stock: tuple = None
    rows: tuple = None


def ok(answer=None):
    return (200, None, answer)


def err(status, code, message=None):
    return (status, code, message)


def bad(message):
    return (400, "INVALID_PARAMETER_VALUE", message)


def missing(name):
    return bad(f"Missing value for required parameter '{name}'." + SEE)


def wrong(name, value, kind):
    """MLflow's words for a value of the wrong type."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return bad(f"Invalid value {text} for parameter '{name}' supplied:  "
               f"Hint: Value was of type '{kind}'." + SEE)


def not_found(run="$none"):
    return err(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run} not found")


def not_active(what="$gone"):
    return bad(f"The run {what} must be in the 'active' state. Current state is deleted.")


def chars(path, key):
    return bad(f"Invalid value {json.dumps(key)} for parameter '{path}' supplied: Names may only "
               "contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
               "colon(:) and slashes (/).")


def resolves(path, key, to):
    return bad(f"Invalid value {json.dumps(key)} for parameter '{path}' supplied: Names may be "
               "treated as files in certain cases, and must not resolve to other names when "
               f"treated as such. This name would resolve to '{to}'")


def too_long(what, limit):
    return bad(f"'{what}' exceeds the maximum length of {limit} characters")


def no_experiment(number):
    return err(404, "RESOURCE_DOES_NOT_EXIST", f"No Experiment with id={number} exists")


def bad_experiment(text):
    return bad(f"Invalid experiment ID '{text}'. Experiment ID must be a valid integer.")


def at_most(limit, what, got):
    return bad(f"A batch logging request can contain at most {limit} {what}. Got {got} {what}. "
               f"Please split up {what} across multiple requests and try again.")


def timestamp(value, path="timestamp", key="m", number="1.0"):
    return bad(f"Invalid value {value} for parameter '{path}' supplied: metric '{key}' "
               f"(value={number}). Timestamp must be a nonnegative long (64-bit integer) ")


def post(name, path, sent, answer, **more):
    return Case(name, "POST", "/api/2.0/mlflow/" + path, sent, answer, **more)


def get(name, path, answer, **more):
    return Case(name, "GET", "/api/2.0/mlflow/" + path, None, answer, **more)


def metric(**changes):
    """A good log-metric body with some fields changed; a value of ... takes the field away."""
    body = {"run_id": "$run", "key": "m", "value": 1.0, "timestamp": 1000, "step": 1}
    body.update(changes)
    return {k: v for k, v in body.items() if v is not ...}


def batch(**lists):
    return {"run_id": "$run", **lists}


def points(n, **more):
    return [{"key": f"m{i}", "value": i, "timestamp": 1, "step": i, **more} for i in range(n)]


def pairs(n):
    return [{"key": f"k{i}", "value": "v"} for i in range(n)]


def stored(*rows):
    """The run's rows in metrics: (key, value, timestamp, step, is_nan)."""
    return ("SELECT key, value, timestamp, step, is_nan FROM metrics WHERE run_uuid = '$run' "
            "ORDER BY key, timestamp, step, value, is_nan", list(rows))


def params(*rows, run="$run"):
    return (f"SELECT key, value FROM params WHERE run_uuid = '{run}' ORDER BY key", list(rows))


def tags(*rows, run="$run"):
    return (f"SELECT key, value FROM tags WHERE run_uuid = '{run}' AND key <> 'mlflow.runName' "
            "ORDER BY key", list(rows))


NO_TYPE = bad("Bad Request. Content-Type header is missing.")
BAD_TYPE = bad("Bad Request. Content-Type must be one of ['application/json'].")

# --- section 3.1: where parameters come from ------------------------------------------------------
DECODING = [
    post("no content type", "runs/log-metric", b"{}", NO_TYPE, headers={}),
    post("content type text", "runs/log-metric", b"{}", BAD_TYPE,
         headers={"Content-Type": "text/plain"}),
    post("content type is case-sensitive", "runs/log-metric", b"{}", BAD_TYPE,
         headers={"Content-Type": "Application/JSON"}),
    post("content type with blank before the semicolon", "runs/log-metric", b"{}", BAD_TYPE,
         headers={"Content-Type": "application/json ; charset=utf-8"}),
    post("content type with charset", "runs/log-metric", metric(), ok({}),
         headers={"Content-Type": "application/json; charset=utf-8"}),
    post("empty body", "runs/log-metric", b"", missing("run_id")),
    post("null body", "runs/log-metric", b"null", missing("run_id")),
    post("broken JSON", "runs/log-metric", b'{"run_id":', missing("run_id")),
    post("trailing garbage", "runs/log-metric", b'{"run_id":"$run"} x', missing("run_id")),
    post("raw control character", "runs/log-metric", b'{"run_id":"a\x01"}', missing("run_id")),
    post("invalid UTF-8", "runs/log-metric", b'{"run_id":"\xff\xfe"}', missing("run_id")),
    post("string body is decoded again", "runs/log-metric",
         b'"{\\"run_id\\":\\"$run\\",\\"key\\":\\"m\\",\\"value\\":1,\\"timestamp\\":5}"', ok({}),
         rows=stored(("m", 1.0, 5, 0, False))),
    post("string body that is no JSON", "runs/log-metric", b'"abc"', err(400, None),
         stock=HTML),
    post("array body", "runs/log-metric", b"[]", err(400, None), stock=HTML),
    post("number body", "runs/log-metric", b"5", err(400, None), stock=HTML),
    post("true body", "runs/log-metric", b"true", err(400, None), stock=HTML),
    post("batch: empty body", "runs/log-batch", b"", err(400, None), stock=HTML),
    post("batch: broken JSON", "runs/log-batch", b'{"run_id":', err(400, None), stock=HTML),
    post("batch: array body", "runs/log-batch", b"[]", err(400, None), stock=HTML),
    post("create: broken JSON", "experiments/create", b"{", missing("name")),
    post("duplicate keys: the last counts", "runs/log-parameter",
         b'{"run_id":"$run","key":"a","value":"1","value":"2"}', ok({}),
         rows=params(("a", "2"))),
    post("a POST ignores its query", "runs/log-metric?run_id=$run&key=m", b"{}",
         missing("run_id")),
    post("BOM", "runs/log-parameter",
         b'\xef\xbb\xbf{"run_id":"$run","key":"a","value":"1"}', ok({}), rows=params(("a", "1"))),
    post("both spellings", "runs/log-metric", metric(model_id="x", modelId="y"),
         bad("Request specifies both 'model_id' and 'modelId'; provide only one of them.")),
    post("both spellings in an item", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": 1, "timestamp": 1, "modelId": "", "model_id": ""}]),
         bad("Request specifies both 'model_id' and 'modelId'; provide only one of them.")),
    post("camelCase alone is missing to the validators", "runs/log-metric",
         {"runId": "$run", "key": "m", "value": 1, "timestamp": 1}, missing("run_id")),
    post("camelCase of an optional field binds", "runs/create",
         {"experimentId": "$exp", "runName": "camel"}, ok(None)),
    post("unknown keys are skipped", "runs/log-metric", metric(more=[1, {"x": None}]), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("null is unset", "runs/log-metric", metric(step=None, model_id=None), ok({}),
         rows=stored(("m", 1.0, 1000, 0, False))),
    get("GET: first of a repeated scalar", "runs/get?run_id=$none&run_id=$run", not_found()),
    get("GET: unknown parameters are ignored", "runs/get?zzz=1&run_id=$none", not_found()),
    get("GET: plus is a blank", "experiments/get-by-name?experiment_name=a+b",
        err(404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'a b'")),
    get("GET: percent", "experiments/get-by-name?experiment_name=%C3%A4%2F%26",
        err(404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name '\u00e4/&'")),
    Case("GET without a query takes the body", "GET", "/api/2.0/mlflow/runs/get",
         {"run_id": "$none"}, not_found()),
    get("GET without anything", "runs/get", missing("run_id")),
    get("run_uuid satisfies run_id", "runs/get?run_uuid=$none", not_found()),
    post("run_uuid satisfies log-metric", "runs/log-metric",
         metric(run_id=..., run_uuid="$run"), ok({}), rows=stored(("m", 1.0, 1000, 1, False))),
    post("run_uuid satisfies log-parameter", "runs/log-parameter",
         {"run_uuid": "$run", "key": "a", "value": "1"}, ok({}), rows=params(("a", "1"))),
    post("run_uuid satisfies set-tag", "runs/set-tag",
         {"run_uuid": "$run", "key": "a", "value": "1"}, ok({}), rows=tags(("a", "1"))),
    post("run_uuid is not the id of delete", "runs/delete", {"run_uuid": "$run"}, not_found("")),
    post("run_uuid is not the id of restore", "runs/restore", {"run_uuid": "$run"},
         not_found("")),
    post("run_uuid is not the id of delete-tag", "runs/delete-tag",
         {"run_uuid": "$run", "key": "a"}, not_found("")),
    post("run_uuid is not the id of log-batch", "runs/log-batch", {"run_uuid": "$run"},
         bad("Invalid value \"\" for parameter 'run_id' supplied.")),
    post("empty run_id with run_uuid", "runs/log-metric", metric(run_id="", run_uuid="$run"),
         missing("run_id")),
    Case("ajax prefix", "POST", "/ajax-api/2.0/mlflow/runs/log-metric", b"{}", missing("run_id")),
]

# --- section 3.2: values that do not convert ------------------------------------------------------
BINDING = [
    post("value NaN literal stops binding", "runs/log-metric",
         b'{"run_id":"$run","key":"f","value":NaN,"timestamp":1000,"step":1}', ok({}),
         rows=stored(("f", 0.0, 0, 0, False))),
    post("value NaN literal at the end", "runs/log-metric",
         b'{"run_id":"$run","key":"f","timestamp":1000,"step":1,"value":NaN}', ok({}),
         rows=stored(("f", 0.0, 1000, 1, False))),
    post("value 1e400 stops binding", "runs/log-metric",
         b'{"run_id":"$run","key":"f","timestamp":1000,"value":1e400,"step":7}', ok({}),
         rows=stored(("f", 0.0, 1000, 0, False))),
    post("value NaN string", "runs/log-metric", metric(value="NaN"), ok({}),
         rows=stored(("m", 0.0, 1000, 1, True))),
    post("value Infinity string", "runs/log-metric", metric(value="Infinity"), ok({}),
         rows=stored(("m", 1.7976931348623157e308, 1000, 1, False))),
    post("value -Infinity string", "runs/log-metric", metric(value="-Infinity"), ok({}),
         rows=stored(("m", -1.7976931348623157e308, 1000, 1, False))),
    post("value inf string", "runs/log-metric", metric(value="inf"), ok({}),
         rows=stored(("m", 1.7976931348623157e308, 1000, 1, False))),
    post("value 1e400 string", "runs/log-metric", metric(value="1e400"), ok({}),
         rows=stored(("m", 1.7976931348623157e308, 1000, 1, False))),
    post("value nan string in lower case stops binding", "runs/log-metric",
         metric(value="nan"), ok({}), rows=stored(("m", 0.0, 0, 0, False))),
    post("value numeric string", "runs/log-metric", metric(value=" 2.5 "), ok({}),
         rows=stored(("m", 2.5, 1000, 1, False))),
    post("value true", "runs/log-metric", metric(value=True), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("value false", "runs/log-metric", metric(value=False), ok({}),
         rows=stored(("m", 0.0, 1000, 1, False))),
    post("value text", "runs/log-metric", metric(value="abc"), wrong("value", "abc", "str")),
    post("value array", "runs/log-metric", metric(value=[1]), err(400, None), stock=HTML),
    post("value object", "runs/log-metric", metric(value={}), err(400, None), stock=HTML),
    post("value missing", "runs/log-metric", metric(value=...), missing("value")),
    post("value null", "runs/log-metric", metric(value=None), missing("value")),
    post("value empty", "runs/log-metric", metric(value=""), missing("value")),
    post("timestamp numeric string", "runs/log-metric", metric(timestamp="1000"), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("timestamp 1e3", "runs/log-metric",
         b'{"run_id":"$run","key":"m","value":1,"timestamp":1e3}', ok({}),
         rows=stored(("m", 1.0, 1000, 0, False))),
    post("timestamp string 1e3", "runs/log-metric", metric(timestamp="1e3"), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("timestamp 1_000", "runs/log-metric", metric(timestamp="1_000"), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("timestamp 1.5 stops binding", "runs/log-metric", metric(timestamp=1.5), ok({}),
         rows=stored(("m", 1.0, 0, 0, False))),
    post("timestamp true stops binding", "runs/log-metric", metric(timestamp=True), ok({}),
         rows=stored(("m", 1.0, 0, 0, False))),
    post("timestamp out of range stops binding", "runs/log-metric",
         metric(timestamp=9223372036854775808), ok({}), rows=stored(("m", 1.0, 0, 0, False))),
    post("timestamp text", "runs/log-metric", metric(timestamp="x"),
         wrong("timestamp", "x", "str")),
    post("timestamp empty is a type error", "runs/log-metric", metric(timestamp=""),
         wrong("timestamp", "", "str")),
    post("timestamp missing", "runs/log-metric", metric(timestamp=...), missing("timestamp")),
    post("timestamp null", "runs/log-metric", metric(timestamp=None), missing("timestamp")),
    post("timestamp array", "runs/log-metric", metric(timestamp=[]), err(400, None), stock=HTML),
    post("step text", "runs/log-metric", metric(step="x"), wrong("step", "x", "str")),
    post("step 1.5", "runs/log-metric", metric(step=1.5), ok({}),
         rows=stored(("m", 1.0, 1000, 0, False))),
    post("step negative", "runs/log-metric", metric(step=-3), ok({}),
         rows=stored(("m", 1.0, 1000, -3, False))),
    post("step largest", "runs/log-metric", metric(step=9223372036854775807), ok({}),
         rows=stored(("m", 1.0, 1000, 9223372036854775807, False))),
    post("key number", "runs/log-metric", metric(key=5), wrong("key", 5, "int")),
    post("key list", "runs/log-metric", metric(key=["a", {"z": 1, "b": "\u00e4"}]),
         wrong("key", ["a", {"z": 1, "b": "\u00e4"}], "list")),
    post("key object", "runs/log-metric", metric(key={"b": 1, "a": 2}),
         wrong("key", {"b": 1, "a": 2}, "dict")),
    post("key true", "runs/log-metric", metric(key=True), wrong("key", True, "bool")),
    post("key 1.5", "runs/log-metric", metric(key=1.5), wrong("key", 1.5, "float")),
    post("run_id number", "runs/log-metric", metric(run_id=5), wrong("run_id", 5, "int")),
    post("model_id number", "runs/log-metric", metric(model_id=5), wrong("model_id", 5, "int")),
    post("param value number", "runs/log-parameter", {"run_id": "$run", "key": "a", "value": 5},
         wrong("value", 5, "int")),
    post("tag value number", "runs/set-tag", {"run_id": "$run", "key": "a", "value": 5},
         wrong("value", 5, "int")),
    post("batch: param value number stops binding", "runs/log-batch",
         batch(params=[{"key": "p", "value": 5}], metrics=points(1)), ok({}),
         rows=params(("p", ""))),
    post("batch: tag value number stops binding", "runs/log-batch",
         batch(tags=[{"key": "a", "value": 5}, {"key": "b", "value": "x"}],
               params=pairs(1)), ok({}), rows=tags(("a", ""))),
    post("create: user_id number stops binding", "runs/create",
         {"experiment_id": "$exp", "user_id": 123, "run_name": "u"}, ok(None)),
    post("create: start_time text", "runs/create", {"experiment_id": "$exp", "start_time": "x"},
         wrong("start_time", "x", "str")),
    post("create: experiment_id number", "runs/create", {"experiment_id": 1},
         wrong("experiment_id", 1, "int")),
    post("create: run_name number", "runs/create", {"experiment_id": "$exp", "run_name": 1},
         wrong("run_name", 1, "int")),
    post("update: end_time text", "runs/update", {"run_id": "$run", "end_time": "x"},
         wrong("end_time", "x", "str")),
    post("update: unknown status name is ignored", "runs/update",
         {"run_id": "$run", "status": "BOGUS", "end_time": 5}, ok(None),
         rows=("SELECT status, end_time FROM runs WHERE run_uuid = '$run'", [("RUNNING", 5)])),
    post("update: status in lower case is ignored", "runs/update",
         {"run_id": "$run", "status": "finished"}, ok(None),
         rows=("SELECT status FROM runs WHERE run_uuid = '$run'", [("RUNNING",)])),
    post("update: status number", "runs/update", {"run_id": "$run", "status": 3}, ok(None),
         rows=("SELECT status FROM runs WHERE run_uuid = '$run'", [("FINISHED",)])),
    post("update: status name", "runs/update", {"run_id": "$run", "status": "KILLED"}, ok(None),
         rows=("SELECT status FROM runs WHERE run_uuid = '$run'", [("KILLED",)])),
    post("tags no array", "experiments/create", {"name": "fresh", "tags": "x"},
         wrong("tags", "x", "str")),
    post("lone surrogate stops binding", "runs/log-parameter",
         b'{"run_id":"$run","key":"a","value":"\\ud800"}', ok({}), rows=params(("a", ""))),
]

# --- section 6: names and limits --------------------------------------------------------------------
NAMES = [
    *[post(f"metric key {k!r} is legal", "runs/log-metric", metric(key=k), ok({}),
           rows=stored((k, 1.0, 1000, 1, False)))
      for k in ("a/b", ".a", "a..", " ", "a b:c-d_e.f", "\u00fcber", "\u5b57", "x" * 250,
                "\u00e4" * 250, "a\n")],
    *[post(f"metric key {k!r} has a bad character", "runs/log-metric", metric(key=k),
           chars("name", k)) for k in ("a@b", "a\\b", "\U0001f600", "e\u0301", "a\nb", "a,b", "a#")],
    *[post(f"metric key {k!r} resolves to {to!r}", "runs/log-metric", metric(key=k),
           resolves("name", k, to))
      for k, to in (("a/", "a"), ("a//b", "a/b"), ("./a", "a"), ("a/../b", "b"), ("..a", "..a"),
                    ("...", "..."), ("/a", "/a"), (".", "."), ("..", ".."), ("a/.", "a"))],
    post("metric key empty", "runs/log-metric", metric(key=""), missing("key")),
    post("metric key null", "runs/log-metric", metric(key=None), missing("key")),
    post("metric key missing", "runs/log-metric", metric(key=...), missing("key")),
    post("metric key too long", "runs/log-metric", metric(key=LONG_KEY),
         too_long("Metric name", 250)),
    post("metric key with NUL", "runs/log-metric", metric(key="a\0b"), chars("name", "a\0b")),
    post("characters come before length", "runs/log-metric", metric(key="@" * 300),
         chars("name", "@" * 300)),
    post("key rule comes before the run", "runs/log-metric", metric(key="a@", run_id="$none"),
         chars("name", "a@")),
    post("param key bad", "runs/log-parameter", {"run_id": "$run", "key": "a@", "value": "1"},
         chars("key", "a@")),
    post("param key too long", "runs/log-parameter", {"run_id": "$run", "key": LONG_KEY},
         too_long("Param key", 250)),
    post("param value is cut at 6000", "runs/log-parameter",
         {"run_id": "$run", "key": "a", "value": "\u00e4" * 6001}, ok({}),
         rows=params(("a", "\u00e4" * 6000))),
    post("param value absent", "runs/log-parameter", {"run_id": "$run", "key": "a"}, ok({}),
         rows=params(("a", ""))),
    post("param value with NUL", "runs/log-parameter",
         {"run_id": "$run", "key": "a", "value": "x\0y"}, err(400, "BAD_REQUEST")),
    post("tag key bad", "runs/set-tag", {"run_id": "$run", "key": "a@", "value": "1"},
         chars("key", "a@")),
    post("tag key resolves", "runs/set-tag", {"run_id": "$run", "key": "a/", "value": "1"},
         resolves("key", "a/", "a")),
    post("tag key too long", "runs/set-tag", {"run_id": "$run", "key": LONG_KEY, "value": "1"},
         too_long("key", 250)),
    post("tag value is cut at 8000", "runs/set-tag",
         {"run_id": "$run", "key": "a", "value": "x" * 8001}, ok({}),
         rows=tags(("a", "x" * 8000))),
    post("tag value with NUL", "runs/set-tag", {"run_id": "$run", "key": "a", "value": "x\0y"},
         err(400, "BAD_REQUEST")),
    post("experiment tag key bad", "experiments/set-experiment-tag",
         {"experiment_id": "$exp", "key": "a@", "value": "1"}, chars("key", "a@")),
    post("experiment tag key too long", "experiments/set-experiment-tag",
         {"experiment_id": "$exp", "key": LONG_KEY, "value": "1"}, too_long("key", 250)),
    post("experiment tag value too long", "experiments/set-experiment-tag",
         {"experiment_id": "$exp", "key": "a", "value": "x" * 20001}, too_long("value", 20000)),
    post("experiment tag value of 20000", "experiments/set-experiment-tag",
         {"experiment_id": "$exp", "key": "a", "value": "x" * 20000}, ok({})),
    post("experiment name too long", "experiments/create", {"name": "n" * 501},
         too_long("name", 500)),
    post("experiment name beyond the column", "experiments/create", {"name": "n" * 257},
         err(400, "BAD_REQUEST")),
    post("run name beyond the column", "runs/create",
         {"experiment_id": "$exp", "run_name": "n" * 251}, err(400, "BAD_REQUEST")),
    post("batch: run id syntax", "runs/log-batch", {"run_id": "no/pe"},
         bad("Invalid value \"no/pe\" for parameter 'run_id' supplied.")),
]

# --- section 7: experiments ----------------------------------------------------------------------------
EXPERIMENTS = [
    post("create: no name", "experiments/create", {}, missing("name")),
    post("create: empty name", "experiments/create", {"name": ""}, missing("name")),
    post("create: name number", "experiments/create", {"name": 5}, wrong("name", 5, "int")),
    post("create: location number", "experiments/create", {"name": "n", "artifact_location": 5},
         wrong("artifact_location", 5, "int")),
    post("create: name taken", "experiments/create", {"name": "$expname"},
         err(400, "RESOURCE_ALREADY_EXISTS")),
    post("create: name taken by a deleted one", "experiments/create", {"name": "$goneexpname"},
         err(400, "RESOURCE_ALREADY_EXISTS")),
    post("create: same tag twice", "experiments/create",
         {"name": "fresh-tags", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
         err(400, "RESOURCE_ALREADY_EXISTS")),
    post("create: tag key bad", "experiments/create",
         {"name": "fresh-tag", "tags": [{"key": "a@", "value": "1"}]}, chars("key", "a@")),
    post("create: location with a fragment", "experiments/create",
         {"name": "fresh-f", "artifact_location": "s3://b/x#y"},
         bad("'artifact_location' URL can't include fragments or params.")),
    post("create: location with params", "experiments/create",
         {"name": "fresh-p", "artifact_location": "/b/x;y"},
         bad("'artifact_location' URL can't include fragments or params.")),
    post("create: location query with dots", "experiments/create",
         {"name": "fresh-q", "artifact_location": "s3://b/x?a=%2e%2e"}, bad("Invalid query string")),
    post("create: location is a run", "experiments/create",
         {"name": "fresh-r", "artifact_location": "runs:/abc"},
         bad("Artifact location cannot be a runs:/ URI. Given: 'runs:/abc'")),
    post("create: location on another host", "experiments/create",
         {"name": "fresh-h", "artifact_location": "http://evil/x"},
         bad("'artifact_location' cannot use the 'http' scheme: the 'http' scheme addresses a host "
             "other than the tracking server's configured artifact storage, so the server would "
             "connect to the host named in the URI. Set the "
             "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES environment variable on the server "
             "to allow it.")),
    post("create: location too long", "experiments/create",
         {"name": "fresh-l", "artifact_location": "s3://b/" + "x" * 2048},
         bad("Invalid artifact path length. The length of the artifact path cannot be greater than "
             "2048 characters. To configure this limit, please set the "
             "MLFLOW_ARTIFACT_LOCATION_MAX_LENGTH environment variable.")),
    post("create: location beyond the column", "experiments/create",
         {"name": "fresh-c", "artifact_location": "s3://b/" + "x" * 300},
         err(400, "BAD_REQUEST")),
    get("get: no id", "experiments/get", missing("experiment_id")),
    get("get: unknown", "experiments/get?experiment_id=999999", no_experiment(999999)),
    get("get: blank and underscore", "experiments/get?experiment_id=+9_9_9_9_9_9+",
        no_experiment(999999)),
    get("get: no number", "experiments/get?experiment_id=abc", bad_experiment("abc")),
    get("get: 1.5", "experiments/get?experiment_id=1.5", bad_experiment("1.5")),
    get("get: beyond int4", "experiments/get?experiment_id=99999999999",
        err(400, "BAD_REQUEST")),
    get("get: deleted one", "experiments/get?experiment_id=$goneexp", ok(None)),
    get("get-by-name: no name", "experiments/get-by-name",
        missing("experiment_name")),
    get("get-by-name: unknown", "experiments/get-by-name?experiment_name=nope",
        err(404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment with name 'nope'")),
    post("update: no name", "experiments/update", {"experiment_id": "$exp"}, missing("new_name")),
    post("update: no id", "experiments/update", {"new_name": "x"}, missing("experiment_id")),
    post("update: unknown", "experiments/update", {"experiment_id": "999999", "new_name": "x"},
         no_experiment(999999)),
    post("update: deleted one", "experiments/update",
         {"experiment_id": "$goneexp", "new_name": "x"},
         err(500, "INVALID_STATE", "Cannot rename a non-active experiment.")),
    post("update: name too long", "experiments/update",
         {"experiment_id": "$exp", "new_name": "n" * 501}, too_long("name", 500)),
    post("update: name taken", "experiments/update",
         {"experiment_id": "$exp", "new_name": "$goneexpname"}, err(400, "BAD_REQUEST")),
    post("delete: no id", "experiments/delete", {}, missing("experiment_id")),
    post("delete: unknown", "experiments/delete", {"experiment_id": "999999"},
         no_experiment(999999)),
    post("delete: deleted one", "experiments/delete", {"experiment_id": "$goneexp"},
         no_experiment("$goneexp")),
    post("delete: no number", "experiments/delete", {"experiment_id": "x"}, bad_experiment("x")),
    post("restore: active one", "experiments/restore", {"experiment_id": "$exp"},
         no_experiment("$exp")),
    post("restore: deleted one", "experiments/restore", {"experiment_id": "$goneexp"}, ok({})),
    post("restore: unknown", "experiments/restore", {"experiment_id": "999999"},
         no_experiment(999999)),
    post("set-tag: no key", "experiments/set-experiment-tag", {"experiment_id": "$exp"},
         missing("key")),
    post("set-tag: no id", "experiments/set-experiment-tag", {"key": "a"},
         missing("experiment_id")),
    post("set-tag: unknown", "experiments/set-experiment-tag",
         {"experiment_id": "999999", "key": "a", "value": "1"}, no_experiment(999999)),
    post("set-tag: deleted one", "experiments/set-experiment-tag",
         {"experiment_id": "$goneexp", "key": "a", "value": "1"},
         bad("The experiment $goneexp must be in the 'active' state. Current state is deleted.")),
    post("set-tag: no value", "experiments/set-experiment-tag",
         {"experiment_id": "$exp", "key": "a"}, ok({}),
         rows=("SELECT key, value FROM experiment_tags WHERE experiment_id = $exp", [("a", "")])),
    post("delete-tag: unknown tag", "experiments/delete-experiment-tag",
         {"experiment_id": "$exp", "key": "zz"},
         err(404, "RESOURCE_DOES_NOT_EXIST",
             "No tag with name: zz in experiment with id $exp")),
    post("delete-tag: unknown experiment", "experiments/delete-experiment-tag",
         {"experiment_id": "999999", "key": "zz"}, no_experiment(999999)),
    post("delete-tag: deleted one", "experiments/delete-experiment-tag",
         {"experiment_id": "$goneexp", "key": "zz"},
         bad("The experiment $goneexp must be in the 'active' state. Current state is deleted.")),
    post("delete-tag: no key", "experiments/delete-experiment-tag", {"experiment_id": "$exp"},
         missing("key")),
]

# --- section 8: runs --------------------------------------------------------------------------------------
RUNS = [
    post("create: no experiment", "runs/create", {}, err(400, "BAD_REQUEST")),
    post("create: empty experiment", "runs/create", {"experiment_id": ""},
         err(400, "BAD_REQUEST")),
    post("create: no number", "runs/create", {"experiment_id": "x"}, bad_experiment("x")),
    post("create: unknown experiment", "runs/create", {"experiment_id": "999999"},
         no_experiment(999999)),
    post("create: deleted experiment", "runs/create", {"experiment_id": "$goneexp"},
         bad("The experiment $goneexp must be in the 'active' state. Current state is deleted.")),
    post("create: two names", "runs/create",
         {"experiment_id": "$exp", "run_name": "a",
          "tags": [{"key": "mlflow.runName", "value": "b"}]},
         bad("Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different "
             "values (run_name='a', mlflow.runName='b').")),
    post("create: two equal names", "runs/create",
         {"experiment_id": "$exp", "run_name": "a",
          "tags": [{"key": "mlflow.runName", "value": "a"}]}, ok(None)),
    post("create: same tag twice", "runs/create",
         {"experiment_id": "$exp", "tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]},
         err(400, "BAD_REQUEST")),
    post("create: tag keys are not checked", "runs/create",
         {"experiment_id": "$exp", "tags": [{"key": "../a@", "value": "1"}]}, ok(None)),
    post("create: tag key too long", "runs/create",
         {"experiment_id": "$exp", "tags": [{"key": LONG_KEY, "value": "1"}]},
         err(400, "BAD_REQUEST")),
    post("create: tag value too long", "runs/create",
         {"experiment_id": "$exp", "tags": [{"key": "a", "value": "x" * 8001}]},
         err(400, "BAD_REQUEST")),
    post("create: negative start", "runs/create", {"experiment_id": "$exp", "start_time": -5},
         ok(None)),
    post("create: name with NUL", "runs/create", {"experiment_id": "$exp", "run_name": "a\0"},
         err(400, "BAD_REQUEST")),
    get("get: unknown", "runs/get?run_id=$none", not_found()),
    get("get: an id longer than the column", "runs/get?run_id=" + "f" * 100,
        not_found("f" * 100)),
    get("get: empty id", "runs/get?run_id=", missing("run_id")),
    get("get: deleted run", "runs/get?run_id=$gone", ok(None)),
    post("update: no id", "runs/update", {"status": "FINISHED"}, missing("run_id")),
    post("update: unknown", "runs/update", {"run_id": "$none"}, not_found()),
    post("update: deleted", "runs/update", {"run_id": "$gone", "status": "FINISHED"},
         not_active()),
    post("update: nothing", "runs/update", {"run_id": "$run"}, ok(None)),
    post("update: name too long", "runs/update", {"run_id": "$run", "run_name": "n" * 251},
         err(400, "BAD_REQUEST")),
    post("update: name", "runs/update", {"run_id": "$run", "run_name": "new"}, ok(None),
         rows=("SELECT r.name, t.value FROM runs r JOIN tags t USING (run_uuid) WHERE r.run_uuid = "
               "'$run' AND t.key = 'mlflow.runName'", [("new", "new")])),
    post("update: empty name is no change", "runs/update",
         {"run_id": "$run", "run_name": "", "end_time": 7}, ok(None),
         rows=("SELECT name <> '', end_time FROM runs WHERE run_uuid = '$run'", [(True, 7)])),
    post("delete: no id", "runs/delete", {}, missing("run_id")),
    post("delete: unknown", "runs/delete", {"run_id": "$none"}, not_found()),
    post("delete: again", "runs/delete", {"run_id": "$gone"}, ok({})),
    post("restore: unknown", "runs/restore", {"run_id": "$none"}, not_found()),
    post("restore: active", "runs/restore", {"run_id": "$run"}, ok({})),
    post("restore: deleted", "runs/restore", {"run_id": "$gone"}, ok({}),
         rows=("SELECT lifecycle_stage, deleted_time FROM runs WHERE run_uuid = '$gone'",
               [("active", None)])),
]

# --- section 9: logging -----------------------------------------------------------------------------------------
LOGGING = [
    post("metric: unknown run", "runs/log-metric", metric(run_id="$none"), not_found()),
    post("metric: deleted run", "runs/log-metric", metric(run_id="$gone"), not_active()),
    post("metric: run id empty", "runs/log-metric", metric(run_id=""), missing("run_id")),
    post("metric: timestamp -1", "runs/log-metric", metric(timestamp=-1), timestamp(-1)),
    post("metric: timestamp smallest", "runs/log-metric",
         metric(timestamp=-9223372036854775808, value=1e20), timestamp(-9223372036854775808,
                                                                     number="1e+20")),
    post("metric: timestamp -1 with NaN", "runs/log-metric", metric(timestamp=-1, value="NaN"),
         timestamp(-1, number="nan")),
    post("metric: timestamp 0", "runs/log-metric", metric(timestamp=0), ok({}),
         rows=stored(("m", 1.0, 0, 1, False))),
    post("metric: dataset name alone", "runs/log-metric", metric(dataset_name="d"),
         bad("Both dataset_name and dataset_digest must be provided if one is provided")),
    post("metric: dataset digest alone", "runs/log-metric", metric(dataset_digest="d"),
         bad("Both dataset_name and dataset_digest must be provided if one is provided")),
    post("metric: dataset without model is dropped", "runs/log-metric",
         metric(dataset_name="d", dataset_digest="e"), ok({}),
         rows=stored(("m", 1.0, 1000, 1, False))),
    post("metric: empty model id", "runs/log-metric", metric(model_id=""), ok({})),
    post("metric: unknown model", "runs/log-metric", metric(model_id="m-" + "0" * 32),
         err(400, "BAD_REQUEST"), rows=stored()),
    post("metric: -0.0", "runs/log-metric", metric(value=-0.0), ok({}),
         rows=stored(("m", 0.0, 1000, 1, False))),
    post("metric: smallest double", "runs/log-metric", metric(value=5e-324), ok({}),
         rows=stored(("m", 5e-324, 1000, 1, False))),
    post("param: unknown run", "runs/log-parameter", {"run_id": "$none", "key": "a"},
         not_found()),
    post("param: deleted run", "runs/log-parameter", {"run_id": "$gone", "key": "a"},
         not_active()),
    post("param: no key", "runs/log-parameter", {"run_id": "$run"}, missing("key")),
    post("param: no run", "runs/log-parameter", {"key": "a"}, missing("run_id")),
    post("param: same again", "runs/log-parameter", {"run_id": "$params", "key": "a", "value": "1"},
         ok({})),
    post("param: changed", "runs/log-parameter", {"run_id": "$params", "key": "a", "value": "2"},
         bad("Changing param values is not allowed. Param with key='a' was already logged with "
             "value='1' for run ID='$params'. Attempted logging new value '2'.")),
    post("tag: unknown run", "runs/set-tag", {"run_id": "$none", "key": "a"}, not_found()),
    post("tag: deleted run", "runs/set-tag", {"run_id": "$gone", "key": "a"}, not_active()),
    post("tag: no key", "runs/set-tag", {"run_id": "$run"}, missing("key")),
    post("tag: overwritten", "runs/set-tag", {"run_id": "$tags", "key": "a", "value": "2"}, ok({}),
         rows=tags(("a", "2"), run="$tags")),
    post("tag: run name", "runs/set-tag",
         {"run_id": "$run", "key": "mlflow.runName", "value": "other"}, ok({}),
         rows=("SELECT r.name, t.value FROM runs r JOIN tags t USING (run_uuid) WHERE r.run_uuid = "
               "'$run' AND t.key = 'mlflow.runName'", [("other", "other")])),
    post("tag: empty run name is no change", "runs/set-tag",
         {"run_id": "$run", "key": "mlflow.runName", "value": ""}, ok({}),
         rows=("SELECT name <> '' FROM runs WHERE run_uuid = '$run'", [(True,)])),
    post("delete-tag: unknown tag", "runs/delete-tag", {"run_id": "$run", "key": "zz"},
         err(404, "RESOURCE_DOES_NOT_EXIST", "No tag with name: zz in run with id $run")),
    post("delete-tag: unknown run", "runs/delete-tag", {"run_id": "$none", "key": "zz"},
         not_found()),
    post("delete-tag: deleted run", "runs/delete-tag", {"run_id": "$gone", "key": "zz"},
         not_active()),
    post("delete-tag: no key", "runs/delete-tag", {"run_id": "$run"}, missing("key")),
    post("delete-tag: there", "runs/delete-tag", {"run_id": "$tags", "key": "a"}, ok({}),
         rows=tags(run="$tags")),
]

BATCH = [
    post("no run", "runs/log-batch", {"metrics": []}, missing("run_id")),
    post("run id number", "runs/log-batch", {"run_id": 5}, wrong("run_id", 5, "int")),
    post("only a run", "runs/log-batch", batch(), ok({})),
    post("unknown run", "runs/log-batch", {"run_id": "$none"}, not_found()),
    post("deleted run", "runs/log-batch", {"run_id": "$gone"}, not_active()),
    post("metrics null", "runs/log-batch", batch(metrics=None), err(400, None), stock=HTML),
    post("params null", "runs/log-batch", batch(params=None), err(400, None), stock=HTML),
    post("tags null", "runs/log-batch", batch(tags=None), err(400, None), stock=HTML),
    post("metrics object", "runs/log-batch", batch(metrics={"a": 1}),
         wrong("metrics", {"a": 1}, "dict")),
    post("params string", "runs/log-batch", batch(params="x"), wrong("params", "x", "str")),
    post("tags number", "runs/log-batch", batch(tags=7), wrong("tags", 7, "int")),
    post("metric item a number", "runs/log-batch", batch(metrics=[1]), err(400, None),
         stock=HTML),
    post("param item null", "runs/log-batch", batch(params=[None]), err(400, None), stock=HTML),
    post("metric without key", "runs/log-batch", batch(metrics=[{"value": 1, "timestamp": 1}]),
         missing("metrics[0].key")),
    post("metric without value", "runs/log-batch",
         batch(metrics=points(1) + [{"key": "a", "timestamp": 1}]), missing("metrics[1].value")),
    post("metric without timestamp", "runs/log-batch", batch(metrics=[{"key": "a", "value": 1}]),
         missing("metrics[0].timestamp")),
    post("metric with null value", "runs/log-batch",
         batch(metrics=[{"key": "a", "value": None, "timestamp": 1}]),
         missing("metrics[0].value")),
    post("metric with empty key", "runs/log-batch",
         batch(metrics=[{"key": "", "value": 1, "timestamp": 1}]), missing("metrics[0].key")),
    post("param without key", "runs/log-batch", batch(params=[{"value": "x"}]),
         missing("params[0].key")),
    post("tag without key", "runs/log-batch", batch(tags=[{"value": "x"}]),
         missing("tags[0].key")),
    post("dataset name alone", "runs/log-batch", batch(metrics=points(1, dataset_name="d")),
         bad("Both dataset_name and dataset_digest must be provided if one is provided")),
    post("metric key bad", "runs/log-batch",
         batch(metrics=points(1) + [{"key": "a@", "value": 1, "timestamp": 1}]),
         chars("metrics[1].name", "a@")),
    post("metric key resolves", "runs/log-batch",
         batch(metrics=[{"key": "a/", "value": 1, "timestamp": 1}]),
         resolves("metrics[0].name", "a/", "a")),
    post("metric key too long", "runs/log-batch",
         batch(metrics=[{"key": LONG_KEY, "value": 1, "timestamp": 1}]),
         too_long("Metric name", 250)),
    post("metric timestamp -1", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": 1, "timestamp": -1}]),
         timestamp(-1, "metrics[0].timestamp")),
    post("param key bad", "runs/log-batch", batch(params=[{"key": "a@"}]),
         chars("params[0].key", "a@")),
    post("param key too long", "runs/log-batch", batch(params=[{"key": LONG_KEY}]),
         too_long("Param key", 250)),
    post("tag key bad", "runs/log-batch", batch(tags=[{"key": "a@"}]), chars("tags[0].key", "a@")),
    post("tag key too long", "runs/log-batch", batch(tags=[{"key": LONG_KEY}]),
         too_long("tags[0].key", 250)),
    post("1001 metrics", "runs/log-batch", batch(metrics=points(1001)),
         at_most(1000, "metrics", 1001)),
    post("101 params", "runs/log-batch", batch(params=pairs(101)), at_most(100, "params", 101)),
    post("101 tags", "runs/log-batch", batch(tags=pairs(101)), at_most(100, "tags", 101)),
    post("1001 in all", "runs/log-batch", batch(metrics=points(999), params=pairs(1), tags=pairs(1)),
         at_most(1000, "metrics, params, and tags", 1001)),
    post("1000 metrics", "runs/log-batch", batch(metrics=points(1000)), ok({}),
         rows=("SELECT count(*) FROM metrics WHERE run_uuid = '$run'", [(1000,)])),
    post("params twice", "runs/log-batch", batch(params=pairs(12) + pairs(2)),
         bad("Duplicate parameter keys have been submitted: ['k0', 'k1']. Please ensure the request "
             "contains only one param value per param key.")),
    post("counts come before duplicates", "runs/log-batch",
         batch(params=pairs(100) + pairs(1)), at_most(100, "params", 101)),
    post("duplicates come before the run", "runs/log-batch",
         {"run_id": "$none", "params": pairs(1) + pairs(1)},
         bad("Duplicate parameter keys have been submitted: ['k0']. Please ensure the request "
             "contains only one param value per param key.")),
    post("param changed", "runs/log-batch",
         {"run_id": "$params", "params": [{"key": "a", "value": "1"}, {"key": "b", "value": "9"}],
          "metrics": points(1), "tags": pairs(1)},
         bad("Changing param values is not allowed. Params were already logged='[{'key': 'b', "
             "'old_value': '2', 'new_value': '9'}]' for run ID='$params'."),
         rows=("SELECT count(*) FROM metrics WHERE run_uuid = '$params'", [(0,)])),
    post("everything", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": 1, "timestamp": 2, "step": 3}],
               params=[{"key": "p", "value": "1"}], tags=[{"key": "t", "value": "x"},
                                                          {"key": "t", "value": "y"}]), ok({}),
         rows=("SELECT m.value, p.value, t.value FROM metrics m JOIN params p USING (run_uuid) "
               "JOIN tags t USING (run_uuid) WHERE run_uuid = '$run' AND t.key = 't'",
               [(1.0, "1", "y")])),
    post("equal points collapse", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": 1, "timestamp": 2, "step": 3}] * 3), ok({}),
         rows=stored(("m", 1.0, 2, 3, False))),
    post("NaN and 0 are two rows", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": "NaN", "timestamp": 2, "step": 3},
                        {"key": "m", "value": 0, "timestamp": 2, "step": 3}]), ok({}),
         rows=stored(("m", 0.0, 2, 3, False), ("m", 0.0, 2, 3, True))),
    post("the latest is the highest step", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": 9, "timestamp": 1, "step": 5},
                        {"key": "m", "value": 1, "timestamp": 99, "step": 4}]), ok({}),
         rows=("SELECT value, timestamp, step FROM latest_metrics WHERE run_uuid = '$run'",
               [(9.0, 1, 5)])),
    post("per-item run id is ignored", "runs/log-batch",
         batch(metrics=points(1, run_id="$none")), ok({}),
         rows=stored(("m0", 0.0, 1, 0, False))),
    post("unknown model: params and metrics stay, tags do not", "runs/log-batch",
         batch(metrics=points(1, model_id="m-" + "0" * 32), params=pairs(1), tags=pairs(1)),
         err(400, "BAD_REQUEST"),
         rows=tags()),
    post("run name tag", "runs/log-batch",
         batch(tags=[{"key": "mlflow.runName", "value": "batch"}]), ok({}),
         rows=("SELECT name FROM runs WHERE run_uuid = '$run'", [("batch",)])),
    post("param value is cut", "runs/log-batch",
         batch(params=[{"key": "a", "value": "x" * 6001}]), ok({}), rows=params(("a", "x" * 6000))),
    post("string NaN in an item", "runs/log-batch",
         batch(metrics=[{"key": "m", "value": "NaN", "timestamp": "7", "step": "2"}]), ok({}),
         rows=stored(("m", 0.0, 7, 2, True))),
    post("chunked", "runs/log-batch", batch(metrics=points(2)), ok({}),
         headers={**JSON, "Transfer-Encoding": "chunked"}, stock=HTML,
         rows=stored(("m0", 0.0, 1, 0, False), ("m1", 1.0, 1, 1, False))),
]

# --- section 10: metric reads ---------------------------------------------------------------------------------
HISTORY = "metrics/get-history?"
READS = [
    get("history: no key", HISTORY + "run_id=$run", missing("metric_key")),
    get("history: no run", HISTORY + "metric_key=m", missing("run_id")),
    get("history: unknown run is empty", HISTORY + "run_id=$none&metric_key=m", ok({})),
    get("history: deleted run is empty", HISTORY + "run_id=$gone&metric_key=m", ok({})),
    *[get(f"history: max_results {n}", HISTORY + f"run_id=$run&metric_key=m&max_results={n}",
          bad(f"Invalid value {n} for parameter 'max_results' supplied. It must be a positive "
              "integer.")) for n in (0, -1)],
    *[get(f"history: max_results {n!r} is everything",
          HISTORY + f"run_id=$run&metric_key=m&max_results={n}", ok({}))
      for n in ("abc", "", "99999999999")],
    get("history: token no base64", HISTORY + "run_id=$run&metric_key=m&page_token=a",
        bad("Invalid page token, could not base64-decode")),
    get("history: token no JSON", HISTORY + "run_id=$run&metric_key=m&page_token=aGVsbG8=",
        bad("Invalid page token, decoded value=b'hello'")),
    get("history: token without offset", HISTORY + "run_id=$run&metric_key=m&page_token=e30=",
        bad("Invalid page token, parsed value={}")),
    get("history: token with offset 3", HISTORY
        + "run_id=$run&metric_key=m&page_token=eyJvZmZzZXQiOiAzfQ==", ok({})),
    get("history: token with a negative offset", HISTORY
        + "run_id=$run&metric_key=m&page_token=eyJvZmZzZXQiOiAtM30=", err(400, "BAD_REQUEST")),
    get("history: token a number", HISTORY + "run_id=$run&metric_key=m&page_token=NQ==",
        err(500, "INTERNAL_ERROR", "'int' object has no attribute 'get'")),
]

# --- sections 9.5 to 9.7: inputs, outputs, legacy models ----------------------------------------------------------
INPUTS_OF_RUN = ("SELECT d.name, d.digest, d.dataset_source_type, d.dataset_source, "
                 "d.dataset_schema, d.dataset_profile, (SELECT array_agg(t.name || '=' || t.value "
                 "ORDER BY t.name) FROM input_tags t WHERE t.input_uuid = i.input_uuid) "
                 "FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
                 "WHERE i.destination_id = '$run' ORDER BY d.name, d.digest")
MODELS_OF_RUN = ("SELECT source_type, destination_type, destination_id, step FROM inputs "
                 "WHERE source_id = '$run' ORDER BY 1, 2, 3")


def inputs(*datasets, run="$run", **more):
    return {"run_id": run, "datasets": list(datasets), **more}


def data(name="d", digest="1", tags=None, **more):
    item = {"dataset": {"name": name, "digest": digest, "source_type": "t", "source": "s", **more}}
    return item if tags is None else {**item, "tags": tags}


def datasets(*rows):
    return (INPUTS_OF_RUN, list(rows))


def models(*rows):
    return (MODELS_OF_RUN, list(rows))


def legacy(text=None, **changes):
    described = {"artifact_path": "model", "flavors": {"f": {"a": 1, "config": 2}},
                 "utc_time_created": "2020-01-01", "run_id": "r", **changes}
    described = {k: v for k, v in described.items() if v is not ...}
    return {"run_id": "$run", "model_json": json.dumps(described) if text is None else text}


LEGACY = ('[{"run_id": "r", "artifact_path": "model", "utc_time_created": "2020-01-01", '
          '"model_uuid": null, "flavors": {"f": {"a": 1}}}]')
LOG_INPUTS = "runs/log-inputs"
INPUTS = [
    post("inputs: no run_id", LOG_INPUTS, {}, missing("run_id")),
    post("inputs: run_id number", LOG_INPUTS, {"run_id": 5}, wrong("run_id", 5, "int")),
    post("inputs: run_uuid is not the id", LOG_INPUTS, {"run_uuid": "$run"},
         bad("Invalid value \"\" for parameter 'run_id' supplied.")),
    post("inputs: syntax of the id first", LOG_INPUTS, inputs(data("x" * 501), run="no/pe"),
         bad("Invalid value \"no/pe\" for parameter 'run_id' supplied.")),
    post("inputs: no such run", LOG_INPUTS, inputs(data(), run="$none"), not_found()),
    post("inputs: deleted run", LOG_INPUTS, inputs(data(), run="$gone"), not_active()),
    post("inputs: lengths before the run", LOG_INPUTS, inputs(data("x" * 501), run="$none"),
         too_long("name", 500)),
    post("inputs: NUL after the run", LOG_INPUTS, inputs(data("a\0"), run="$none"), not_found()),
    post("inputs: NUL", LOG_INPUTS, inputs(data("a\0")), err(400, "BAD_REQUEST"), rows=datasets()),
    post("inputs: nothing", LOG_INPUTS, {"run_id": "$run"}, ok({})),
    post("inputs: null lists", LOG_INPUTS, {"run_id": "$run", "datasets": None, "models": None},
         ok({})),
    *[post(f"inputs: {name} a {kind}", LOG_INPUTS, {"run_id": "$run", name: value},
           wrong(name, value, kind)) for name, value, kind in (
               ("datasets", "x", "str"), ("datasets", {}, "dict"), ("models", 5, "int"))],
    post("inputs: both spellings", LOG_INPUTS, inputs(data(sourceType="x")),
         bad("Request specifies both 'source_type' and 'sourceType'; provide only one of them.")),
    post("inputs: an empty dataset", LOG_INPUTS, inputs({}), ok({}),
         rows=datasets(("", "", "", "", None, None, None))),
    post("inputs: a number ends the binding", LOG_INPUTS,
         inputs({"dataset": {"digest": "2", "name": 5, "source": "s"}}, data()), ok({}),
         rows=datasets(("", "2", "", "", None, None, None))),
    post("inputs: empty schema", LOG_INPUTS, inputs(data(schema="", profile="p")), ok({}),
         rows=datasets(("d", "1", "t", "s", "", "p", None))),
    post("inputs: keys of tags have no rule", LOG_INPUTS,
         inputs(data(tags=[{"key": "../ a@", "value": "\U0001f600"}, {"key": "b"}])), ok({}),
         rows=datasets(("d", "1", "t", "s", None, None, ["../ a@=\U0001f600", "b="]))),
    post("inputs: a tag twice", LOG_INPUTS,
         inputs(data("good"), data(tags=[{"key": "a", "value": v} for v in "12"])),
         err(400, "BAD_REQUEST"), rows=datasets()),
    post("inputs: the first of two alike", LOG_INPUTS,
         inputs(data(source="1", tags=[{"key": "a", "value": "1"}]),
                data(source="2", tags=[{"key": "b", "value": "2"}])), ok({}),
         rows=datasets(("d", "1", "t", "1", None, None, ["a=1"]))),
    *[post(f"inputs: {name} too long", LOG_INPUTS, inputs(data(**{name: "x" * (limit + 1)})),
           too_long(name, limit)) for name, limit in (
               ("name", 500), ("digest", 36), ("source", 65535), ("schema", 1048575))],
    *[post(f"inputs: {name} of a tag too long", LOG_INPUTS,
           inputs(data(tags=[{"key": "k", "value": "v", name: "x" * (limit + 1)}])),
           too_long(name, limit)) for name, limit in (("key", 255), ("value", 500))],
    post("inputs: longest", LOG_INPUTS, inputs(data("\u00e4" * 500, "\U0001f600" * 36)), ok({})),
    post("inputs: source type too long", LOG_INPUTS, inputs(data(source_type="x" * 37)),
         err(400, "BAD_REQUEST"), rows=datasets()),
    post("inputs: models", LOG_INPUTS, {"run_id": "$run", "models": [
        {"model_id": "b"}, {"modelId": "a"}, {"model_id": "b"}, {}]}, ok({}),
        rows=models(*[("RUN_INPUT", "MODEL_INPUT", m, 0) for m in ("", "a", "b")])),
    post("inputs: model id too long", LOG_INPUTS, inputs(data(), models=[{"model_id": "x" * 37}]),
         err(400, "BAD_REQUEST"), rows=datasets()),
    post("outputs: no run_id", "runs/outputs", {}, missing("run_id")),
    post("outputs: no models", "runs/outputs", {"run_id": "$run"}, missing("models")),
    post("outputs: empty list", "runs/outputs", {"run_id": "$run", "models": []}, ok({})),
    post("outputs: models no list", "runs/outputs", {"run_id": "$run", "models": {}},
         wrong("models", {}, "dict")),
    post("outputs: no such run", "runs/outputs", {"run_id": "$none", "models": []}, not_found()),
    post("outputs: any id", "runs/outputs", {"run_id": "no/pe", "models": []},
         not_found("no/pe")),
    post("outputs: deleted run", "runs/outputs", {"run_id": "$gone", "models": []}, not_active()),
    post("outputs: stored", "runs/outputs", {"run_id": "$run", "models": [
        {"model_id": "a", "step": -3}, {"model_id": "b"}]}, ok({}),
        rows=models(*[("RUN_OUTPUT", "MODEL_OUTPUT", m, s) for m, s in (("a", -3), ("b", 0))])),
    post("outputs: a model twice", "runs/outputs", {"run_id": "$run", "models": [
        {"model_id": "a"}, {"model_id": "a", "step": 1}]}, err(400, "BAD_REQUEST"), rows=models()),
    post("outputs: a bad step ends the binding", "runs/outputs", {"run_id": "$run", "models": [
        {"model_id": "a", "step": "x"}, {"model_id": "b"}]}, ok({}),
        rows=models(("RUN_OUTPUT", "MODEL_OUTPUT", "a", 0))),
    post("outputs: not log-outputs", "runs/log-outputs", {}, err(404, "ENDPOINT_NOT_FOUND"),
         stock=HTML),
    post("log-model: no run_id", "runs/log-model", {"model_json": "{}"}, missing("run_id")),
    post("log-model: no model_json", "runs/log-model", {"run_id": "$run"}, missing("model_json")),
    post("log-model: model_json number", "runs/log-model", {"run_id": "$run", "model_json": 5},
         wrong("model_json", 5, "int")),
    post("log-model: no JSON", "runs/log-model", legacy("{"),
         bad("Malformed model info. \n { \n is not a valid JSON.")),
    post("log-model: a field is missing", "runs/log-model", legacy(flavors=...),
         bad("Model json is missing mandatory fields: {'flavors'}")),
    post("log-model: no object", "runs/log-model", legacy("[]"), err(400, None), stock=HTML),
    post("log-model: flavors no object", "runs/log-model", legacy(flavors=[]), err(400, None),
         stock=HTML),
    post("log-model: signature no object", "runs/log-model", legacy(signature="x"), ok({}),
         stock=HTML),
    post("log-model: no such run", "runs/log-model", {**legacy(), "run_id": "$none"}, not_found()),
    post("log-model: deleted run", "runs/log-model", {**legacy(), "run_id": "$gone"},
         not_active()),
    post("log-model: stored", "runs/log-model", legacy(model_size_bytes=5), ok({}),
         rows=tags(("mlflow.log-model.history", LEGACY))),
]

# --- sections 10.2 and 10.3: histories of many runs ---------------------------------------------------------------
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
INTERVAL = "metrics/get-history-bulk-interval?"
SAMPLE = INTERVAL + "run_ids=$run&metric_key=m&"
BOTH = bad("If either start step or end step are specified, both must be specified.")
POINTS = bad("max_results must be between 1 and 2500." + SEE)


def bulk(name, query, answer, **more):
    return Case("bulk: " + name, "GET", BULK + query, None, answer, **more)


HISTORIES = [
    bulk("nothing", "", bad("GetMetricHistoryBulk request must specify at least one run_id.")),
    Case("bulk: the body is not read", "GET", BULK, {"run_id": ["$run"], "metric_key": "m"},
         bad("GetMetricHistoryBulk request must specify at least one run_id.")),
    bulk("101 runs", "?" + "&".join(f"run_id={i}" for i in range(101)),
         bad("GetMetricHistoryBulk request cannot specify more than 100 run_ids. Received 101 "
             "run_ids.")),
    bulk("no key", "?run_id=$run", bad("GetMetricHistoryBulk request must specify a metric_key.")),
    bulk("empty key", "?run_id=$run&metric_key=", ok({"metrics": []})),
    bulk("unknown run", "?run_id=$none&metric_key=m", ok({"metrics": []})),
    bulk("negative limit", "?run_id=$run&metric_key=m&max_results=-1", err(400, "BAD_REQUEST")),
    bulk("limit as int() reads it", "?run_id=$run&metric_key=m&max_results=+1_0",
         ok({"metrics": []})),
    *[bulk(f"limit {n!r}", "?run_id=$run&metric_key=m&max_results=" + n, err(400, None),
           stock=HTML) for n in ("abc", "", "1.5")],
    bulk("NUL", "?run_id=$run&metric_key=m%00", err(400, "BAD_REQUEST")),
    get("bulk: not under /api", "metrics/get-history-bulk?run_id=$run&metric_key=m",
        err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
    get("interval: nothing", INTERVAL, missing("run_ids")),
    get("interval: no key", INTERVAL + "run_ids=$run", missing("metric_key")),
    get("interval: 101 runs before the key", INTERVAL
        + "&".join(f"run_ids={i}" for i in range(101)),
        bad("GetMetricHistoryBulkInterval request must specify at most 100 run_ids. Received 101 "
            "run_ids." + SEE)),
    get("interval: unknown run", INTERVAL + "run_ids=$none&metric_key=m", ok({})),
    get("interval: deleted run", INTERVAL + "run_ids=$gone&metric_key=m", ok({})),
    *[get(f"interval: {name}={n!r}", SAMPLE + f"{name}={n}", wrong(name, n, "str"))
      for name in ("start_step", "max_results") for n in ("abc", "", "1.5")],
    *[get(f"interval: max_results {n}", SAMPLE + f"max_results={n}", POINTS)
      for n in (0, -1, 2501, 99999999999)],
    *[get(f"interval: max_results {n}", SAMPLE + f"max_results={n}", ok({}))
      for n in (1, 2500, "1_0", "%2B5")],
    *[get(f"interval: {query}", SAMPLE + query, err(400, None), stock=HTML)
      for query in ("max_results=2.0", "start_step=1e0&end_step=3")],
    get("interval: start alone", SAMPLE + "start_step=1", BOTH),
    get("interval: end alone", SAMPLE + "end_step=1", BOTH),
    get("interval: equal", SAMPLE + "start_step=5&end_step=5", ok({})),
    get("interval: end before start", SAMPLE + "start_step=5&end_step=2",
        bad("end_step must be greater than start_step. Found start_step=5 and end_step=2.")),
    get("interval: beyond int32", SAMPLE + "start_step=99999999999&end_step=1",
        bad("end_step must be greater than start_step. Found start_step=99999999999 and "
            "end_step=1.")),
    get("interval: beyond int64", SAMPLE + "start_step=0&end_step=99999999999999999999",
        err(400, "BAD_REQUEST")),
    get("interval: limit before steps", SAMPLE + "start_step=3&end_step=1&max_results=0", POINTS),
    Case("interval: a body's limit is judged", "GET", "/api/2.0/mlflow/" + INTERVAL[:-1],
         {"run_ids": ["$run"], "metric_key": "m", "max_results": 0}, POINTS),
    Case("interval: a body's steps are not read", "GET", "/api/2.0/mlflow/" + INTERVAL[:-1],
         {"run_ids": ["$run"], "metric_key": "m", "start_step": 1}, ok({})),
]

# --- sections 1 and 2: paths and methods ------------------------------------------------------------------------
PATHS = [
    get("unknown path", "runs/nope", err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
    get("trailing slash", "runs/get/", err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
    get("another case", "Runs/get", err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
    get("GET of a POST path", "runs/log-metric", err(405, None), stock=HTML),
    Case("POST of a GET path", "POST", "/api/2.0/mlflow/runs/get", b"{}", err(405, None),
         stock=HTML),
    Case("no 3.0 twin", "POST", "/api/3.0/mlflow/runs/log-metric", b"{}",
         err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
    Case("root", "GET", "/nowhere", None, err(404, "ENDPOINT_NOT_FOUND"), stock=HTML),
]

GROUPS = {"decoding": DECODING, "binding": BINDING, "names": NAMES, "experiments": EXPERIMENTS,
          "runs": RUNS, "logging": LOGGING, "batch": BATCH, "reads": READS, "paths": PATHS,
          "inputs": INPUTS, "histories": HISTORIES}
CASES = [(f"{group}: {case.name}", case) for group, cases in GROUPS.items() for case in cases]
