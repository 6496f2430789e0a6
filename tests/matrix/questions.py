"""The questions of the permission matrix: who (users with grants) asks for what (calls).

A call is (method, path, query, body); a user is a name with a list of grants (type, pattern,
level), each grant on a role of its own or not. Everything is made of the objects that stock_app.py
made, and of a seed.
"""

import itertools
import random
import re
from urllib.parse import quote, urlencode

LEVELS = ("READ", "USE", "EDIT", "MANAGE", "DENY")
# Who asks about each route, under each default: nobody, a user without grants, one for each level on
# every thing the route is about, and an admin.
SUBJECTS = ("anonymous", "none", *(f"id-{level}" for level in LEVELS), "admin")
DEFAULTS = ("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", "DENY")
TIERS = ("run", "trace", "assessment", "logged_model", "review_queue", "registered_model_version",
         "prompt_version", "scorer_version", "mcp_server_version")
OWNED = {"experiment": "experiment_id", "registered_model": "model", "prompt": "prompt",
         "gateway_secret": "secret_id", "gateway_endpoint": "endpoint_id",
         "gateway_model_definition": "model_definition_id", "mcp_server": "mcp_server"}
TYPES = (*OWNED, "scorer")


# -- users ----------------------------------------------------------------------------------------

def pattern_of(kind, ids):
    if kind == "scorer":
        return f"{ids['experiment_id']}/{quote(ids['scorer'], safe='')}"
    return ids[OWNED[kind]]


def on_all(level, pattern_ids=None, types=TYPES):
    """The level on each type: on the objects of pattern_ids, or on `*`."""
    return [(kind, pattern_of(kind, pattern_ids) if pattern_ids else "*", level) for kind in types]


def users(objects, seed, count):
    """name -> grants. `anonymous` sends no credentials, `admin` is stock's."""
    a = objects["a"]
    found = {"none": []}
    for level in LEVELS:
        found[f"id-{level}"] = on_all(level, a)
        found[f"wild-{level}"] = on_all(level)
        tiers = [(tier, "*", level) for tier in TIERS]
        found[f"tier-{level}"] = tiers
        found[f"tier-{level}-on-READ"] = tiers + on_all("READ", a)
        found[f"tier-{level}-on-MANAGE"] = tiers + on_all("MANAGE", a)
        found[f"tier-{level}-on-DENY"] = tiers + on_all("DENY", a)
    found["member"] = [("workspace", "*", "USE")]
    found["chief"] = [("workspace", "*", "MANAGE")]
    found["chief-denied"] = [("workspace", "*", "MANAGE"), *on_all("DENY")]
    found["owner"] = on_all("EDIT", a)
    found["member-of-queue"] = on_all("EDIT", a)
    dice = random.Random(seed)
    for n in range(count):
        grants = {}
        for kind in dice.sample((*TYPES, *TIERS), dice.randint(2, 7)):
            ids = dice.choice((a, objects["b"], None)) if kind in TYPES else None
            pattern = pattern_of(kind, ids) if ids else "*"
            grants[kind, pattern] = dice.choice(LEVELS)
        if dice.random() < 0.3:
            grants["workspace", "*"] = "USE"
        found[f"mixed-{n}"] = [(*key, level) for key, level in grants.items()]
    return found


# -- calls ----------------------------------------------------------------------------------------

def parameters(ids, is_prompt):
    """What any call may ask for, all at once: each looks at its own."""
    return {
        "experiment_id": ids["experiment_id"], "experiment_ids": [ids["experiment_id"]],
        "experiment_name": ids["experiment_name"],
        "run_id": ids["run_id"], "run_uuid": ids["run_id"], "run_ids": [ids["run_id"]],
        "model_id": ids["model_id"], "name": ids["prompt" if is_prompt else "model"],
        "version": "1", "stage": "Staging", "alias": "x", "key": "k", "value": "1",
        "trace_id": ids["trace_id"], "request_id": ids["trace_id"], "trace_ids": [ids["trace_id"]],
        "dataset_id": ids["dataset_id"], "queue_id": ids["queue_id"],
        "schema_id": ids["schema_id"], "secret_id": ids["secret_id"],
        "model_definition_id": ids["model_definition_id"], "endpoint_id": ids["endpoint_id"],
        "guardrail_id": ids["guardrail_id"], "scorer_ids": [ids["scorer_id"]],
        "username": "none", "max_results": 5, "metric_key": "k", "path": ids["experiment_id"]}


NOWHERE = {"experiment_id": "987654", "experiment_name": "nowhere", "run_id": "f" * 32,
           "model_id": "m-nowhere", "trace_id": "tr-nowhere", "dataset_id": "d-nowhere",
           "queue_id": "rq-nowhere", "schema_id": "ls-nowhere", "secret_id": "s-nowhere",
           "model_definition_id": "d-nowhere", "endpoint_id": "e-nowhere",
           "guardrail_id": "gr-nowhere", "scorer": "nowhere", "scorer_id": "nowhere",
           "model": "nowhere", "prompt": "nowhere", "issue_id": "iss-nowhere",
           "assessment_id": "a-nowhere", "job_id": "nowhere", "mcp_server": "no/where",
           "endpoint": "nowhere", "queue": "nowhere"}

PROMPT_TAG = {"key": "mlflow.prompt.is_prompt", "value": "True"}


def metric(ids, spelling="model_id"):
    return {"key": "k", "value": 1.0, "timestamp": 1, "step": 0, spelling: ids["model_id"]}


def location(ids, camel=False):
    if camel:
        return {"type": "MLFLOW_EXPERIMENT",
                "mlflowExperiment": {"experimentId": ids["experiment_id"]}}
    return {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id":
                                                                ids["experiment_id"]}}


def trace_info(ids, assessments=()):
    return {"trace": {"trace_info": {"trace_id": "tr-new", "trace_location": location(ids),
                                     "assessments": list(assessments)}}}


# (path, what is changed or added): a value None takes the parameter away
def extras(objects):
    a, b, no = objects["a"], objects["b"], NOWHERE
    return [
        (r"/runs/log-metric$", {"model_id": None}),
        (r"/runs/log-metric$", {"model_id": None, "modelId": b["model_id"]}),
        (r"/runs/log-metric$", {"model_id": no["model_id"]}),
        (r"/runs/log-batch$", {"metrics": [metric(a)]}),
        (r"/runs/log-batch$", {"metrics": [metric(a, "modelId"), metric(b, "modelId")]}),
        (r"/runs/log-batch$", {"metrics": [metric(no)]}),
        (r"/runs/(log-inputs|outputs)$", {"models": [{"model_id": a["model_id"]}]}),
        (r"/runs/(log-inputs|outputs)$", {"models": [{"modelId": b["model_id"]}]}),
        (r"/runs/(log-inputs|outputs)$", {"models": [{"model_id": no["model_id"]}]}),
        (r"/runs/|/metrics/get-history$", {"run_id": None}),
        (r"/runs/|/metrics/get-history$", {"run_id": None, "run_uuid": None}),
        (r"/metrics/get-history-bulk", {"run_id": [a["run_id"], b["run_id"]],
                                        "run_ids": [a["run_id"], b["run_id"]]}),
        (r"/experiments/search-datasets$|/datasets/|/traces/(metrics|calc)",
         {"experiment_ids": [a["experiment_id"], b["experiment_id"]]}),
        (r"/experiments/search-datasets$|/datasets/|/traces/(metrics|calc)",
         {"experiment_ids": []}),
        (r"/presigned-upload-url$", {"model_id": None}),
        (r"/presigned-upload-url$", {"run_id": None, "run_uuid": None}),
        (r"/presigned-upload-url$", {"run_id": None, "model_id": None, "modelId": a["model_id"]}),
        (r"/registered-models/create$", {"name": "new"}),
        (r"/registered-models/create$", {"name": "new", "tags": [PROMPT_TAG]}),
        (r"/registered-models/create$", {"tags": [PROMPT_TAG]}),
        (r"/model-versions/create$", {"run_id": None, "model_id": None, "source": "s3://b/x"}),
        (r"/model-versions/create$", {"model_id": None, "source": "s3://b/x"}),
        (r"/model-versions/create$", {"model_id": None, "run_id": "", "source": "s3://b/x"}),
        (r"/model-versions/create$", {"model_id": None, "run_id": no["run_id"], "source": "x"}),
        (r"/model-versions/create$", {"run_id": None, "source": "s3://b/x"}),
        (r"/model-versions/create$", {"source": f"models:/{b['model']}/1"}),
        (r"/model-versions/create$", {"source": f"models:/{a['prompt']}/1"}),
        (r"/model-versions/create$", {"source": "models:/nowhere/1"}),
        (r"/model-versions/create$", {"run_id": None, "model_id": None,
                                      "source": f"models:/{b['model_id']}"}),
        (r"/model-versions/create$", {"run_id": None, "model_id": None, "source": "s3://b/x",
                                      "tags": [PROMPT_TAG]}),
        (r"/model-versions/search$", {"filter": "run_id = 'x'"}),
        (r"/model-versions/search$", {"filter": "run_id IN ('x')"}),
        (r"/model-versions/search$", {"filter": "name = 'run_id'"}),
        (r"/model-versions/search$", {"filter": "no filter at all"}),
        (r"/logged-models/search$", {"filter": "source_run_id = 'x'"}),
        (r"/logged-models/search$", {"filter": "name = 'source_run_id'"}),
        (r"/logged-models/search$", {"filter": "no filter at all"}),
        (r"/logged-models$", {"source_run_id": b["run_id"]}),
        (r"/logged-models$", {"source_run_id": no["run_id"]}),
        (r"/3.0/mlflow/traces$", trace_info(a)),
        (r"/3.0/mlflow/traces$", trace_info(a, [{"assessment_name": "n", "feedback": {
            "value": 1}}])),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a)]}),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a), location(b, True)]}),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a)],
                                         "filter": "feedback.f = 1"}),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a)], "filter": "run_id = 'x'"}),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a)],
                                         "filter": "request_metadata.`mlflow.modelId` = 'x'"}),
        (r"/3.0/mlflow/traces/search$", {"locations": [location(a)],
                                         "order_by": ["run_id DESC"]}),
        (r"/3.0/mlflow/traces/metrics$", {"view_type": "ASSESSMENTS"}),
        (r"/batchGet|/link-to-run$", {"trace_ids": [a["trace_id"], b["trace_id"]]}),
        (r"/batchGet|/link-to-run$", {"trace_ids": []}),
        (r"/scorers/list$", {"experiment_id": None}),
        (r"/scorers/delete$", {"version": None}),
        (r"/issues", {"filter_string": "source_run_id = 'x'"}),
        (r"/review-queues/update$", {"new_owner": "none"}),
        (r"/review-queues/update$", {"newOwner": "none"}),
        (r"/review-queues/(create|update)$", {"queue_type": "CUSTOM", "name": "Member"}),
        (r"/gateway/endpoints/(create|update)$", {
            "model_configs": [{"model_definition_id": a["model_definition_id"]}]}),
        (r"/gateway/endpoints/(create|update)$", {
            "experiment_id": None,
            "model_configs": [{"model_definition_id": b["model_definition_id"]}]}),
        (r"/gateway/endpoints/(create|update)$", {"experiment_id": None, "usage_tracking": False}),
        (r"/gateway/endpoints/(create|update)$", {"experiment_id": None, "usage_tracking": True}),
        (r"/gateway/endpoints/models/", {"model_config": {"model_definition_id":
                                                          a["model_definition_id"]}}),
        (r"/gateway/endpoints/(get|bindings/list)$", {"endpoint_id": None,
                                                      "name": b["endpoint"]}),
        (r"/gateway/model-definitions/", {"secret_id": None}),
        (r"/gateway/guardrails/", {"guardrail_id": no["guardrail_id"]}),
        (r"/scorer/invoke$", {"log_assessments": True}),
        (r"/scorer/invoke$", {"scorer_name": a["scorer"]}),
        (r"/issues/invoke$", {"secret_id": None}),
    ]


# Names in paths that are not parameters of the same name.
IN_PATH = {"workspace_name": "default", "webhook_id": "w", "tag_key": "k", "filename": "f",
           "key": "k"}
# What `name` names, by the path.
NAMES = ((r"/scorers/", "scorer"), (r"/review-queues/", "queue"),
         (r"/gateway/", "endpoint"))


def fill(path, ids):
    """The path with an object's ids; one path for each way an artifact's may begin."""
    if "artifact_path" in path:
        exp = ids["experiment_id"]
        tails = [f"{exp}/{ids['run_id']}/artifacts/f", f"{exp}/models/{ids['model_id']}/f",
                 f"{exp}/traces/{ids['trace_id']}/f", f"{exp}", f"{exp}/{ids['run_id']}",
                 f"{exp}/other/f", "no/experiment", f"workspaces/w/{exp}/x",
                 f"%2531/{ids['run_id']}/artifacts/f", f"{exp}/../2/x"]
        return [re.sub(r"[<{](path:)?artifact_path(:path)?[>}]", tail, path) for tail in tails]

    def value(found):
        name = re.sub(r"^\w+:|:\w+$", "", found[1])
        known = {"name": ids["mcp_server"], "endpoint_name": ids["endpoint"], **IN_PATH,
                 "request_id": ids["trace_id"]}
        return str(known.get(name) or ids.get(name) or "x")

    return [re.sub(r"[<{]([^>}]+)[>}]", value, path)]


def spell(method, path, params):
    """(method, path, query, body); a GET carries its parameters in the query."""
    given = [(k, v) for k, v in params.items() if v is not None]
    if method == "GET":
        pairs = [(k, x) for k, v in given for x in (v if isinstance(v, list) else [v])
                 if not isinstance(x, dict)]
        return method, path, urlencode(pairs), None
    return method, path, "", dict(given)


def named(template, ids, is_prompt=False):
    """The parameters, `name` being what such a path calls so."""
    params = parameters(ids, is_prompt)
    for pattern, key in NAMES:
        if re.search(pattern, template):
            params["name"] = ids[key]
    return params


def route_like(template):
    """One spelling for the ways in which servers write what stands for any segment."""
    return re.sub(r"[<{][^>}]*[>}]", "{}", template)


def is_registry(template):
    return re.search(r"registered-models|model-versions", template) is not None


def route_calls(routes, objects):
    """{(method, path template): the calls about `a` and its prompt with all parameters}."""
    ids = objects["a"]
    return {(method, template): [spell(method, path, named(template, ids, is_prompt))
                                 for is_prompt in ((False, True) if is_registry(template) else (False,))
                                 for path in fill(template, ids)]
            for method, template in routes}


def calls(routes, objects):
    """Every route, about a, about b, about what is not there, about nothing, and its extras."""
    found = []
    more = extras(objects)
    for method, template in routes:
        for ids, is_prompt in ((objects["a"], False), (objects["b"], False), (NOWHERE, False),
                               (objects["a"], True), (objects["b"], True)):
            if is_prompt and not is_registry(template):
                continue
            params = named(template, ids, is_prompt)
            for path in fill(template, ids):
                found.append(spell(method, path, params))
                if ids is not objects["a"]:
                    continue
                if not is_prompt:
                    found.append(spell(method, path, {}))
                found += [spell(method, path, {**params, **extra}) for pattern, extra in more
                          if re.search(pattern, path)]
    return list(unique(found))


def unique(found):
    seen = set()
    for call in found:
        key = repr(call)
        if key not in seen:
            seen.add(key)
            yield call


def cells(calls_list, by_route):
    """The matrix: each route x SUBJECTS x DEFAULTS."""
    numbers = {repr(call): n for n, call in enumerate(calls_list)}
    asked = sorted({numbers[repr(call)] for found in by_route.values() for call in found})
    return list(itertools.product(DEFAULTS, SUBJECTS, asked))


def questions(calls_list, names, defaults, seed, count):
    """(default, user, call): a seeded sample that leaves out no call."""
    dice = random.Random(seed)
    picked = {(dice.choice(defaults), dice.choice(names), n) for n in range(len(calls_list))}
    while len(picked) < count:
        picked.add((dice.choice(defaults), dice.choice(names), dice.randrange(len(calls_list))))
    return sorted(picked)
