#!/usr/bin/env python3
"""Stock MLflow with its basic-auth app, as the oracle of the permission matrix.

    stock_app.py PG_URI PORT [OBJECTS]      (run by the test venv's Python)

It is the application that `mlflow server --app-name basic-auth` serves, unchanged in all that
decides who may call what, with these differences:
  - a request that passes its checks is answered 418 `reached` instead of being carried out, so the
    same few objects serve every question and what a check says does not depend on the ones before;
  - GET /__objects gives the objects it made, or OBJECTS, which another one has made, GET /__routes every (method, path) it serves, POST
    /__default/LEVEL sets default_permission, which stock reads once at start, and POST /__run/0|1
    says whether calls are carried out after all.
"""

import json
import os
import sys
import tempfile

LEVELS = ("READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS", "DENY")
ADMIN, PASSWORD = "admin", "matrix-password"
CONFIG = """[mlflow]
default_permission = READ
database_uri = {uri}
admin_username = {admin}
admin_password = {password}
auth_cache_ttl_seconds = 3600
"""


def environment(uri, folder):
    """Stock's own private variables, as its command line sets them for its workers."""
    path = os.path.join(folder, "auth.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(CONFIG.format(uri=uri.replace("%", "%%"), admin=ADMIN, password=PASSWORD))
    os.environ.update({
        "MLFLOW_AUTH_CONFIG_PATH": path, "MLFLOW_FLASK_SERVER_SECRET_KEY": "matrix",
        "_MLFLOW_SGI_NAME": "uvicorn", "_MLFLOW_SERVER_FILE_STORE": uri,
        "_MLFLOW_SERVER_REGISTRY_STORE": uri, "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": os.path.join(folder, "artifacts"),
        "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"})


def make_trace(store, experiment_id, name, run_id, model_id):
    from mlflow.entities import TraceInfo, TraceLocation, TraceState

    return store.start_trace(TraceInfo(
        trace_id=f"tr-{name}", trace_location=TraceLocation.from_experiment_id(experiment_id),
        request_time=1, state=TraceState.OK,
        trace_metadata={"mlflow.sourceRun": run_id, "mlflow.modelId": model_id, "k": "v"})).trace_id


def make_experiment(store, which):
    """An experiment with one of each thing that belongs to one."""
    from mlflow.entities import Feedback
    from mlflow.genai.label_schemas.label_schemas import InputText
    from mlflow.genai.review_queues import ReviewQueueType

    ids = {"experiment_id": store.create_experiment(f"experiment-{which}")}
    exp = ids["experiment_id"]
    ids["experiment_name"] = f"experiment-{which}"
    ids["run_id"] = store.create_run(exp, "u", 1, [], f"run-{which}").info.run_id
    ids["model_id"] = store.create_logged_model(exp, source_run_id=ids["run_id"]).model_id
    ids["trace_id"] = make_trace(store, exp, f"{which}" * 32, ids["run_id"],
                                 ids["model_id"])
    ids["assessment_id"] = store.create_assessment(
        Feedback(name="f", value=1, trace_id=ids["trace_id"])).assessment_id
    ids["dataset_id"] = store.create_dataset(f"dataset-{which}", experiment_ids=[exp]).dataset_id
    ids["issue_id"] = store.create_issue(exp, "issue", "d", source_run_id=ids["run_id"]).issue_id
    ids["scorer"] = f"scorer/{which}"
    ids["scorer_id"] = store.register_scorer(exp, ids["scorer"], "{}").scorer_id
    ids["schema_id"] = store.create_label_schema(exp, name="schema", type="feedback",
                                                 input=InputText()).schema_id
    ids["queue"] = "queue"
    ids["queue_id"] = store.create_review_queue(
        exp, name="queue", queue_type=ReviewQueueType.CUSTOM, created_by="owner",
        users=["member"]).queue_id
    return ids


def make_gateway(store, which, experiment_id, scorer_id):
    from mlflow.entities.gateway_endpoint import (GatewayEndpointModelConfig,
                                                  GatewayModelLinkageType)
    from mlflow.entities.gateway_guardrail import GuardrailAction, GuardrailStage

    secret = store.create_gateway_secret(f"secret-{which}", {"api_key": "k"}, provider="openai")
    definition = store.create_gateway_model_definition(
        f"definition-{which}", secret.secret_id, "openai", "gpt")
    endpoint = store.create_gateway_endpoint(
        f"endpoint-{which}", [GatewayEndpointModelConfig(
            model_definition_id=definition.model_definition_id,
            linkage_type=GatewayModelLinkageType.PRIMARY, weight=1.0)],
        experiment_id=experiment_id)
    guardrail = store.create_gateway_guardrail(f"guardrail-{which}", scorer_id, 1,
                                               GuardrailStage.BEFORE, GuardrailAction.VALIDATION)
    return {"secret_id": secret.secret_id, "model_definition_id": definition.model_definition_id,
            "endpoint_id": endpoint.endpoint_id, "endpoint": f"endpoint-{which}",
            "guardrail_id": guardrail.guardrail_id}


def make_registry(registry, which, run_id):
    from mlflow.entities.model_registry import RegisteredModelTag

    registry.create_registered_model(f"model-{which}")
    registry.create_model_version(f"model-{which}", "s3://b/m", run_id=run_id)
    registry.create_registered_model(f"prompt-{which}",
                                     tags=[RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
    registry.create_model_version(
        f"prompt-{which}", "s3://b/p",
        tags=[RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
    return {"model": f"model-{which}", "prompt": f"prompt-{which}"}


def make_objects():
    """Two of everything, `a` and `b`, so that a grant on one can be asked about the other."""
    from mlflow.server.handlers import _get_job_store, _get_model_registry_store, \
        _get_tracking_store

    store, registry = _get_tracking_store(), _get_model_registry_store()
    objects = {}
    for which in "ab":
        ids = make_experiment(store, which)
        ids.update(make_gateway(store, which, ids["experiment_id"], ids["scorer_id"]))
        ids.update(make_registry(registry, which, ids["run_id"]))
        ids["mcp_server"] = f"space/server-{which}"
        store.create_mcp_server(ids["mcp_server"], created_by="owner")
        ids["job_id"] = _get_job_store().create_job(
            "j", json.dumps({"experiment_id": ids["experiment_id"]}), creator="owner").job_id
        objects[which] = ids
    return objects


def routes_of(application):
    """Every (method, path) served, FastAPI's and Flask's."""
    from mlflow.server import app as flask_app

    found = [(method, route.path_format) for router in application.routes
             for route in getattr(router, "effective_candidates", list)()
             for method in route.methods]
    for rule in flask_app.url_map.iter_rules():
        found += [(m, rule.rule) for m in rule.methods - {"HEAD", "OPTIONS"}]
    return sorted(set(found))


class Control:
    """The outermost application: what the tests steer it with, everything else to stock."""

    def __init__(self, inner, objects):
        self.inner = inner
        self.said = {"/__objects": objects, "/__routes": routes_of(inner)}

    async def __call__(self, scope, receive, send):
        from starlette.responses import JSONResponse

        from mlflow.server import auth

        path = scope.get("path", "")
        if path.startswith("/__default/"):
            auth.auth_config = auth.auth_config._replace(default_permission=path[11:])
            self.said[path] = path[11:]
        elif path.startswith("/__run/"):
            Reached.runs = path[7:] == "1"
            self.said[path] = path[7:]
        if path in self.said:
            return await JSONResponse(self.said[path])(scope, receive, send)
        return await self.inner(scope, receive, send)


class Reached:
    """Stands where a call would be carried out."""

    runs = False

    @staticmethod
    def flask(view):
        from flask import Response

        def reached(**args):
            return view(**args) if Reached.runs else Response("reached", 418)

        return reached

    @staticmethod
    def asgi(handle):
        from starlette.responses import PlainTextResponse

        async def reached(route, scope, receive, send):
            if Reached.runs:
                return await handle(route, scope, receive, send)
            return await PlainTextResponse("reached", 418)(scope, receive, send)

        return reached


def application(uri, folder, objects):
    environment(uri, folder)
    from fastapi.routing import APIRoute

    from mlflow.server import app as flask_app
    from mlflow.server.auth import create_app

    app = create_app(flask_app)
    objects = objects or make_objects()
    for name, view in list(flask_app.view_functions.items()):
        flask_app.view_functions[name] = Reached.flask(view)
    APIRoute.handle = Reached.asgi(APIRoute.handle)
    return Control(app, objects)


def main():
    import uvicorn

    uri, port = sys.argv[1], int(sys.argv[2])
    objects = json.loads(sys.argv[3]) if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder:
        uvicorn.run(application(uri, folder, objects), host="127.0.0.1", port=port, log_level="warning",
                    timeout_keep_alive=3600)


if __name__ == "__main__":
    main()
