"""Registered models over raw HTTP: each call, its rules in their order, what it leaves in the tables.

All of it holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for the races at the
end. Versions are rows that the tests write themselves.
"""

import base64
import json
import threading
import uuid

import mlflow
import pytest
import requests

STAGES = ["None", "Staging", "Production", "Archived"]
PROMPT = "mlflow.prompt.is_prompt"
DOCS = " See the API docs for more information about request parameters."


class Http:
    def __init__(self, url):
        self.base = url + "/api/2.0/mlflow/registered-models/"
        self.session = requests.Session()

    def call(self, method, path, query=None, **body):
        return self.session.request(method, self.base + path, params=query, timeout=60,
                                    json=None if query is not None else body)

    def ok(self, method, path, query=None, **body):
        answer = self.call(method, path, query, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def create(self, name=None, **more):
        name = name or uuid.uuid4().hex
        return self.ok("POST", "create", name=name, **more)["registered_model"]

    def get(self, name):
        return self.ok("GET", "get", {"name": name})["registered_model"]

    def refused(self, method, path, query=None, **body):
        answer = self.call(method, path, query, **body)
        assert answer.status_code != 200, answer.text
        error = answer.json()
        return answer.status_code, error["error_code"], error["message"]


@pytest.fixture(scope="module")
def http(target):
    return Http(target.url)


@pytest.fixture
def version(sql):
    """Writes a version, its tags and its aliases."""
    def write(name, number, stage="None", tags=(), aliases=(), **columns):
        row = {"workspace": "default", "name": name, "version": number, "creation_time": 1,
               "last_updated_time": 2, "current_stage": stage, "source": "s3://b/p",
               "run_id": "", "run_link": "", "status": "READY", **columns}
        sql.execute(f"INSERT INTO model_versions ({', '.join(row)}) VALUES "
                    f"({', '.join(['%s'] * len(row))})", list(row.values()))
        for key, value in dict(tags).items():
            sql.execute("INSERT INTO model_version_tags (name, version, key, value)"
                        " VALUES (%s, %s, %s, %s)", (name, number, key, value))
        for alias in aliases:
            sql.execute("INSERT INTO registered_model_aliases (name, alias, version)"
                        " VALUES (%s, %s, %s)", (name, alias, number))
    return write


def shown(name, number, stage="None", **more):
    """The ModelVersion that `version` wrote."""
    return {"name": name, "version": str(number), "creation_timestamp": 1,
            "last_updated_timestamp": 2, "current_stage": stage, "source": "s3://b/p",
            "run_id": "", "status": "READY", "run_link": "", **more}


def by_version(versions):
    return sorted(versions, key=lambda v: int(v["version"]))


def missing(name):
    return 404, "RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found"


# --- create and get -----------------------------------------------------------------------------

def test_create_shows_what_it_stored(http, sql):
    name = uuid.uuid4().hex + " é"
    made = http.create(name, description="text", tags=[
        {"key": "b", "value": "1"}, {"key": "a"}, {"key": "b", "value": "2"}])
    assert list(made) == ["name", "creation_timestamp", "last_updated_timestamp", "description",
                          "tags"]
    assert made["name"] == name and made["description"] == "text"
    assert made["creation_timestamp"] == made["last_updated_timestamp"] > 1_600_000_000_000
    assert made["tags"] == [{"key": "b", "value": "2"}, {"key": "a", "value": ""}]
    assert http.get(name) == made
    assert sql.execute("SELECT workspace, description FROM registered_models WHERE name = %s",
                       (name,)).fetchall() == [("default", "text")]


def test_create_with_a_name_alone(http, sql):
    made = http.create(deployment_job_id="ignored")
    assert list(made) == ["name", "creation_timestamp", "last_updated_timestamp"]
    assert http.get(made["name"]) == made
    assert sql.execute("SELECT description FROM registered_models WHERE name = %s",
                       (made["name"],)).fetchone() == ("",)


@pytest.mark.parametrize("old, new, message", [
    ([], [], "Registered Model (name={0}) already exists."),
    ([PROMPT], [PROMPT], "Prompt (name={0}) already exists."),
    ([PROMPT], [], "Tried to create a registered model with name '{0}', but the name is already "
     "taken by a prompt. MLflow does not allow creating a model and a prompt with the same name."),
    ([], [PROMPT], "Tried to create a prompt with name '{0}', but the name is already taken by a "
     "registered model. MLflow does not allow creating a model and a prompt with the same name."),
])
def test_a_taken_name(http, old, new, message):
    def tags(keys):
        return [{"key": k, "value": "false"} for k in keys]
    name = http.create(tags=tags(old))["name"]
    assert http.refused("POST", "create", name=name, tags=tags(new)) == \
        (400, "RESOURCE_ALREADY_EXISTS", message.format(name))
    too_long = [*tags(new), {"key": "k", "value": "x" * 5001}]
    assert http.refused("POST", "create", name=name, tags=too_long)[2] == message.format(name)


BAD_NAMES = [
    ("", "Missing value for required parameter 'name'." + DOCS),
    (None, "Missing value for required parameter 'name'." + DOCS),
    (" \u00a0", "Missing value for required parameter 'name'."),
    ("a/b", "Invalid model name 'a/b'. Names cannot contain '/' or ':'."),
    ("a:b\u0000", "Invalid model name 'a:b\u0000'. Names cannot contain '/' or ':'."),
    ("..a", "Invalid value \"..a\" for parameter 'name' supplied: Names may be treated as files in "
     "certain cases, and must not resolve to other names when treated as such. This name would "
     "resolve to '..a'"),
    (5, "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'." + DOCS),
]
CALLS = [
    ("POST", "create", {}), ("POST", "rename", {"new_name": "x"}), ("PATCH", "update", {}),
    ("DELETE", "delete", {}), ("POST", "get-latest-versions", {}),
    ("POST", "set-tag", {"key": "k"}), ("DELETE", "delete-tag", {"key": "k"}),
    ("POST", "alias", {"alias": "a", "version": "1"}), ("DELETE", "alias", {"alias": "a"})]


@pytest.mark.parametrize("name, message", BAD_NAMES)
@pytest.mark.parametrize("method, path, more", CALLS)
def test_bad_names_everywhere(http, method, path, more, name, message):
    assert http.refused(method, path, **{"name": name, **more}) == \
        (400, "INVALID_PARAMETER_VALUE", message)


@pytest.mark.parametrize("method, path, more", CALLS[1:])
def test_unknown_models_everywhere(http, method, path, more):
    want = missing("no such")
    if (method, path) == ("POST", "alias"):
        want = (404, "RESOURCE_DOES_NOT_EXIST",
                "Model Version (name=no such, version=1) not found")
    assert http.refused(method, path, name="no such", **more) == want
    assert http.refused("GET", "get", {"name": "no such"}) == missing("no such")


@pytest.mark.parametrize("name", [" a ", "a.", "a\\b", "a%2Fb", "日本", "a\nb", ".a"])
def test_odd_names_are_names(http, name):
    made = http.create(name)
    assert http.get(name) == made
    assert http.ok("DELETE", "delete", name=name) == {}


@pytest.mark.parametrize("body", [
    {"name": "x" * 257}, {"name": "x\u0000y"}, {"name": "fine", "description": "x" * 5001},
    {"name": "fine", "tags": [{"key": "k", "value": "x" * 5001}]}])
def test_what_the_columns_refuse(http, body):
    assert http.refused("POST", "create", **body)[:2] == (400, "BAD_REQUEST")
    assert http.refused("GET", "get", {"name": "fine"}) == missing("fine")


def test_wrong_methods(http):
    for method, path, allowed in [
            ("POST", "delete", "DELETE, OPTIONS"), ("PUT", "update", "OPTIONS, PATCH"),
            ("PUT", "alias", "DELETE, GET, HEAD, OPTIONS, POST"),
            ("PATCH", "get-latest-versions", "GET, HEAD, OPTIONS, POST")]:
        answer = http.call(method, path, name="x")
        assert answer.status_code == 405
        assert ", ".join(sorted(answer.headers["allow"].split(", "))) == allowed


# --- rename, update, delete ---------------------------------------------------------------------

def test_rename_carries_everything(http, sql, version):
    old, new = uuid.uuid4().hex, uuid.uuid4().hex
    made = http.create(old, tags=[{"key": "k", "value": "v"}], description="d")
    version(old, 1, "Staging", tags={"t": "u"}, aliases=["one"])
    version(old, 2, "Deleted_Internal")
    sql.execute("UPDATE registered_models SET last_updated_time = 5 WHERE name = %s", (old,))
    now = http.ok("POST", "rename", name=old, new_name=new)["registered_model"]
    assert now["last_updated_timestamp"] >= made["last_updated_timestamp"]
    stamp = now["last_updated_timestamp"]
    assert now == {**made, "name": new, "last_updated_timestamp": stamp,
                   "latest_versions": [shown(new, 1, "Staging", last_updated_timestamp=stamp,
                                             tags=[{"key": "t", "value": "u"}])],
                   "aliases": [{"alias": "one", "version": "1"}]}
    assert http.get(new) == now
    assert http.refused("GET", "get", {"name": old}) == missing(old)
    assert sql.execute("SELECT version, last_updated_time FROM model_versions WHERE name = %s"
                       " ORDER BY 1", (new,)).fetchall() == [(1, stamp), (2, stamp)]


def test_rename_to_itself_and_to_a_taken_name(http, sql):
    one, two = http.create()["name"], http.create(tags=[{"key": PROMPT, "value": "true"}])["name"]
    sql.execute("UPDATE registered_models SET last_updated_time = 5 WHERE name = %s", (one,))
    same = http.ok("POST", "rename", name=one, new_name=one)["registered_model"]
    assert same["name"] == one and same["last_updated_timestamp"] > 5
    status, code, message = http.refused("POST", "rename", name=one, new_name=two)
    assert (status, code) == (400, "RESOURCE_ALREADY_EXISTS")
    assert message.startswith(f"Registered Model (name={two}) already exists. Error: ")
    assert http.refused("POST", "rename", name="no such", new_name=two) == missing("no such")
    assert http.get(one) == same


def test_a_rename_that_fails_changes_nothing(http, sql, version):
    name = http.create(tags=[{"key": "k", "value": "v"}])["name"]
    version(name, 1)
    before = http.get(name)
    assert http.refused("POST", "rename", name="no such", new_name=name) == missing("no such")
    assert http.refused("POST", "rename", name=name, new_name="x" * 256 + " ")[:2] == \
        (400, "BAD_REQUEST")
    assert http.get(name) == before


@pytest.mark.parametrize("body, message", [
    ({"name": "a/b"}, "Missing value for required parameter 'new_name'." + DOCS),
    ({"name": "a/b", "new_name": " "}, "Missing value for required parameter 'new_name'."),
    ({"name": "a/b", "new_name": "c:d"},
     "Invalid model name 'c:d'. Names cannot contain '/' or ':'."),
    ({"name": "a/b", "new_name": "c"},
     "Invalid model name 'a/b'. Names cannot contain '/' or ':'.")])
def test_the_new_name_is_judged_first(http, body, message):
    assert http.refused("POST", "rename", **body) == (400, "INVALID_PARAMETER_VALUE", message)


def test_update_takes_a_body_of_any_type(http):
    name = http.create(description="old")["name"]
    for headers in {}, {"Content-Type": "text/plain"}:
        answer = http.session.patch(http.base + "update", timeout=60, headers=headers,
                                    params={"name": "no such"},
                                    data=json.dumps({"name": name, "description": str(headers)}))
        assert answer.json()["registered_model"]["description"] == str(headers)
    answer = http.session.patch(http.base + "update", timeout=60, params={"name": name})
    assert answer.json()["message"] == "Missing value for required parameter 'name'." + DOCS


def test_update_without_a_description_takes_it_away(http, sql):
    made = http.create(description="old", tags=[{"key": "k", "value": "v"}])
    sql.execute("UPDATE registered_models SET last_updated_time = 5 WHERE name = %s",
                (made["name"],))
    now = http.ok("PATCH", "update", name=made["name"], description=None)["registered_model"]
    assert "description" not in now and now["tags"] == made["tags"]
    assert now["last_updated_timestamp"] > 5
    assert now["creation_timestamp"] == made["creation_timestamp"]


def test_delete_leaves_nothing(http, sql, version):
    name = http.create(tags=[{"key": "k", "value": "v"}])["name"]
    version(name, 1, "Staging", tags={"t": "u"}, aliases=["one"])
    version(name, 2, "Deleted_Internal", tags={"t": "u"})
    assert http.ok("DELETE", "delete", name=name) == {}
    for table in ("registered_models", "registered_model_tags", "registered_model_aliases",
                  "model_versions", "model_version_tags"):
        assert sql.execute(f"SELECT count(*) FROM {table} WHERE name = %s",
                           (name,)).fetchone() == (0,)
    assert http.refused("DELETE", "delete", name=name) == missing(name)
    assert "latest_versions" not in http.create(name)


# --- latest versions ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def ladder(http, database):
    """Versions 1..6 in stages; 6 is deleted."""
    import psycopg

    name = http.create()["name"]
    with psycopg.connect(database, autocommit=True) as pg:
        for number, stage in enumerate(["None", "Staging", "None", "Archived", "Staging",
                                        "Deleted_Internal"], 1):
            pg.execute("INSERT INTO model_versions (name, version, creation_time, current_stage,"
                       " last_updated_time, source, run_id, run_link, status) VALUES"
                       " (%s, %s, 1, %s, 2, 's3://b/p', '', '', 'READY')", (name, number, stage))
        pg.execute("INSERT INTO registered_model_aliases (name, alias, version)"
                   " VALUES (%s, 'b', 5), (%s, 'a', 5), (%s, 'c', 1)", (name,) * 3)
        pg.execute("INSERT INTO model_version_tags (name, version, key, value)"
                   " VALUES (%s, 5, 'k', NULL)", (name,))
    return name


def test_a_model_shows_the_latest_of_each_stage(http, ladder):
    model = http.get(ladder)
    assert by_version(model["latest_versions"]) == [
        shown(ladder, 3), shown(ladder, 4, "Archived"),
        shown(ladder, 5, "Staging", tags=[{"key": "k"}])]
    assert sorted(model["aliases"], key=lambda a: a["alias"]) == [
        {"alias": "a", "version": "5"}, {"alias": "b", "version": "5"},
        {"alias": "c", "version": "1"}]


@pytest.mark.parametrize("stages, want", [
    ([], [3, 4, 5]), (None, [3, 4, 5]), (["staging", "STAGING"], [5]), (["Production"], []),
    (["none", "Archived"], [3, 4])])
def test_latest_versions(http, ladder, stages, want):
    body = {"name": ladder, **({} if stages is None else {"stages": stages})}
    for answer in (http.ok("POST", "get-latest-versions", **body),
                   http.ok("GET", "get-latest-versions", body)):
        versions = by_version(answer.get("model_versions", []))
        assert [int(v["version"]) for v in versions] == want
        assert ("model_versions" in answer) == (want != [])
        for v in versions:
            assert sorted(v.get("aliases", [])) == (["a", "b"] if v["version"] == "5" else [])


def test_a_bad_stage_comes_after_the_model(http, ladder):
    body = {"stages": ["Staging", " None"]}
    assert http.refused("POST", "get-latest-versions", name="no such", **body) == \
        missing("no such")
    assert http.refused("POST", "get-latest-versions", name=ladder, **body) == (
        400, "INVALID_PARAMETER_VALUE", "Invalid Model Version stage:  None. Value must be one of "
        "None, Staging, Production, Archived.")


# --- tags ---------------------------------------------------------------------------------------

def test_tags_come_change_and_go(http):
    made = http.create()
    name = made["name"]
    for value in "1", "2":
        assert http.ok("POST", "set-tag", name=name, key="a/b é", value=value) == {}
    assert http.ok("POST", "set-tag", name=name, key="none") == {}
    now = http.get(name)
    assert sorted(now.pop("tags"), key=lambda t: t["key"]) == [
        {"key": "a/b é", "value": "2"}, {"key": "none", "value": ""}]
    assert now == made
    for _ in range(2):
        assert http.ok("DELETE", "delete-tag", name=name, key="none") == {}
    assert [t["key"] for t in http.get(name)["tags"]] == ["a/b é"]


@pytest.mark.parametrize("key, value, message", [
    ("a,", "v", "Invalid value \"a,\" for parameter 'key' supplied: Names may only contain "
     "alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes "
     "(/)."),
    ("/a", "v", "Invalid value \"/a\" for parameter 'key' supplied: Names may be treated as files "
     "in certain cases, and must not resolve to other names when treated as such. This name would "
     "resolve to '/a'"),
    ("k" * 251, "v" * 100001, "'key' exceeds the maximum length of 250 characters"),
    ("k", "v" * 100001, "'value' exceeds the maximum length of 100000 characters")])
def test_bad_tags(http, key, value, message):
    want = (400, "INVALID_PARAMETER_VALUE", message)
    assert http.refused("POST", "set-tag", name="no such", key=key, value=value) == want
    assert http.refused("POST", "create", name="no such",
                        tags=[{"key": "fine"}, {"key": key, "value": value}]) == want
    if "exceeds" not in message:
        assert http.refused("DELETE", "delete-tag", name="no such", key=key) == want
    else:
        assert http.refused("DELETE", "delete-tag", name="no such", key=key) == missing("no such")


def test_a_tag_that_does_not_convert_is_empty(http):
    for tag in 5, None, {"key": 5}:
        status, code, message = http.refused("POST", "create", name=uuid.uuid4().hex,
                                             tags=[{"key": "k", "value": "v"}, tag])
        assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
        assert message.startswith("Invalid value \"\" for parameter 'key' supplied: Names may be ")


# --- aliases ------------------------------------------------------------------------------------

def test_aliases_point_move_and_go(http, version):
    made = http.create()
    name = made["name"]
    version(name, 1, description="", user_id="u", status_message="", aliases=["z"])
    version(name, 2, "Staging", tags={"k": "v"}, description="text", status_message="busy")
    assert http.ok("POST", "alias", name=name, alias="é-1", version=" 1_0"[:2]) == {}
    assert http.ok("GET", "alias", {"name": name, "alias": "é-1"}) == {
        "model_version": shown(name, 1, user_id="u", description="", aliases=["z", "é-1"])}
    assert http.ok("POST", "alias", name=name, alias="é-1", version="+02") == {}
    assert http.ok("GET", "alias", {"name": name, "alias": "é-1"}) == {
        "model_version": shown(name, 2, "Staging", description="text", status_message="busy",
                               tags=[{"key": "k", "value": "v"}], aliases=["é-1"])}
    now = http.get(name)
    assert now["last_updated_timestamp"] == made["last_updated_timestamp"]
    assert now["aliases"] == [{"alias": "z", "version": "1"}, {"alias": "é-1", "version": "2"}]
    for _ in range(2):
        assert http.ok("DELETE", "alias", name=name, alias="é-1") == {}
    assert http.refused("GET", "alias", {"name": name, "alias": "é-1"}) == (
        400, "INVALID_PARAMETER_VALUE", "Registered model alias é-1 not found.")
    assert http.refused("GET", "alias", {"name": name, "alias": "Z"})[2] == \
        "Registered model alias Z not found."


def test_latest_is_the_highest_of_any_stage(http, ladder):
    for alias in "latest", "LATEST":
        got = http.ok("GET", "alias", {"name": ladder, "alias": alias})["model_version"]
        assert got["version"] == "5" and sorted(got["aliases"]) == ["a", "b"]
    empty = http.create()["name"]
    assert http.refused("GET", "alias", {"name": empty, "alias": "latest"}) == (
        404, "RESOURCE_DOES_NOT_EXIST", f"Latest version not found for model {empty}.")
    assert http.refused("GET", "alias", {"name": "no such", "alias": "latest"}) == \
        missing("no such")


@pytest.mark.parametrize("alias, version, message", [
    ("a b", "x", "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores "
     "(_), and dashes (-)."),
    ("a" * 256, "x", "'Registered model alias name' exceeds the maximum length of 255 characters"),
    ("LaTest", "x", "'latest' alias name (case insensitive) is reserved."),
    ("V12", "x", "Version alias name 'V12' is reserved."),
    ("a", "x", "Parameter 'version' must be an integer, got 'x'."),
    ("a", "1.0", "Parameter 'version' must be an integer, got '1.0'."),
    ("a", 1, "Invalid value 1 for parameter 'version' supplied:  Hint: Value was of type 'int'."
     + DOCS),
    ("", "1", "Missing value for required parameter 'alias'." + DOCS)])
def test_bad_aliases(http, ladder, alias, version, message):
    assert http.refused("POST", "alias", name=ladder, alias=alias, version=version) == \
        (400, "INVALID_PARAMETER_VALUE", message)


def test_aliases_of_no_version(http, ladder):
    for version in "6", "7", "-1", "0":
        assert http.refused("POST", "alias", name=ladder, alias="x", version=version) == (
            404, "RESOURCE_DOES_NOT_EXIST",
            f"Model Version (name={ladder}, version={version}) not found")
    assert http.refused("POST", "alias", name=ladder, alias="x", version="2147483648")[:2] == \
        (400, "BAD_REQUEST")
    assert http.ok("DELETE", "alias", name=ladder, alias="v3") == {}


# --- search -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def shelf(http):
    """Models M2 {a=1}, m1 {a=1, b=2}, m_3, and two prompts, under a prefix of their own."""
    prefix = uuid.uuid4().hex
    for name, tags in [("M2", {"a": "1"}), ("m1", {"a": "1", "b": "2"}), ("m_3", {}),
                       ("pr", {PROMPT: "true", "a": "1"}), ("pT", {PROMPT: "True"})]:
        http.create(prefix + name, tags=[{"key": k, "value": v} for k, v in tags.items()])
    return prefix


def search(http, shelf, filter_string="", **more):
    """Names without the prefix, and the token."""
    filters = [f for f in (filter_string, f"name LIKE '{shelf}%'") if f]
    answer = http.ok("GET", "search", {"filter": " AND ".join(filters), **more})
    assert "registered_models" not in answer or answer["registered_models"]
    return ([m["name"][len(shelf):] for m in answer.get("registered_models", [])],
            answer.get("next_page_token"))


def token(offset):
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


@pytest.mark.parametrize("filter_string, want", [
    ("", "M2 m1 m_3 pT"), ("name = '@m1'", "m1"), ("name ILIKE '@m%'", "M2 m1 m_3"),
    ("name IN ('@m1', '@M2')", "M2 m1"), ("name not in ('@m1')", "M2 m_3 pT"),
    ("attribute.name != '@m1'", "M2 m_3 pT"), ("tags.a = '1'", "M2 m1"),
    ("tags.a = '1' AND tags.b = '2'", "m1"), ("tags.a = '1' AND tags.a = '2'", ""),
    ("tags.b != '9'", "m1"), ("name = '@pr'", ""),
    (f"tags.`{PROMPT}` = 'true'", "pr"), (f"tag.{PROMPT} != 'false'", "pT pr"),
    (f"tags.`{PROMPT}` = 'nonsense'", "M2 m1 m_3 pT"), (f"tags.`{PROMPT}` != 'true'",
                                                        "M2 m1 m_3 pT")])
def test_search(http, shelf, filter_string, want):
    assert search(http, shelf, filter_string.replace("@", shelf)) == (want.split(), None)


def test_search_shows_whole_models(http, shelf, version):
    version(shelf + "m_3", 1, "Staging", tags={"t": "u"}, aliases=["a"])
    answer = http.ok("GET", "search", {"filter": f"name = '{shelf}m_3'"})
    assert answer == {"registered_models": [http.get(shelf + "m_3")]}
    assert answer["registered_models"][0]["latest_versions"] == [
        shown(shelf + "m_3", 1, "Staging", tags=[{"key": "t", "value": "u"}])]


def test_search_orders(http, shelf, sql):
    assert search(http, shelf, order_by="name DESC")[0] == ["pT", "m_3", "m1", "M2"]
    for i, name in enumerate(["m1", "pT", "M2", "m_3"]):
        sql.execute("UPDATE registered_models SET last_updated_time = %s WHERE name = %s",
                    (10 + i // 2, shelf + name))
    assert search(http, shelf, order_by="timestamp")[0] == ["m1", "pT", "M2", "m_3"]
    assert search(http, shelf, order_by=["last_updated_timestamp DESC", "name desc"])[0] == \
        ["m_3", "M2", "pT", "m1"]


def test_search_pages(http, shelf):
    assert search(http, shelf, max_results=3) == (["M2", "m1", "m_3"], token(3))
    assert search(http, shelf, max_results=3, page_token=token(3)) == (["pT"], None)
    assert search(http, shelf, max_results=4) == (["M2", "m1", "m_3", "pT"], None)
    assert search(http, shelf, max_results=0) == ([], token(0))
    assert search(http, shelf, max_results=0, page_token=token(9)) == ([], None)
    assert search(http, shelf, max_results=-1, page_token=token(9)) == ([], token(8))
    assert http.refused("GET", "search", {"max_results": -2})[:2] == (400, "BAD_REQUEST")


@pytest.mark.parametrize("query, message", [
    ({"max_results": 1001}, "Invalid value \"1001\" for parameter 'max_results' supplied:  Hint: "
     "Value was of type 'str'." + DOCS),
    ({"filter": "name > 'a'", "page_token": "bad", "order_by": "bad"},
     "Invalid order_by key 'bad' specified. Valid keys are "),
    ({"filter": "name > 'a'", "page_token": "bad"}, "Invalid page token, could not base64-decode"),
    ({"filter": "name > 'a'"}, "Invalid comparator for attribute: >"),
    ({"filter": "name", "order_by": "bad"}, "Invalid clause(s) in filter string: name")])
def test_search_errors_in_their_order(http, query, message):
    status, code, said = http.refused("GET", "search", query)
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert said.startswith(message) or "order_by" in query and said.startswith("Invalid order"), \
        said


def test_search_has_a_hundred_by_default(http):
    prefix = uuid.uuid4().hex
    for i in range(101):
        http.create(f"{prefix}{i:03}")
    names, more = search(http, prefix)
    assert names == [f"{i:03}" for i in range(100)] and more == token(100)
    assert search(http, prefix, page_token=more) == (["100"], None)


# --- MLflow's own client ------------------------------------------------------------------------

def test_the_client(target, version):
    client = mlflow.MlflowClient(target.url)
    name, other = uuid.uuid4().hex, uuid.uuid4().hex
    client.create_registered_model(name, tags={"a": "1"}, description="first")
    with pytest.raises(mlflow.MlflowException) as raised:
        client.create_registered_model(name)
    assert raised.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.update_registered_model(name, "second")
    client.set_registered_model_tag(name, "b", "2")
    client.delete_registered_model_tag(name, "a")
    version(name, 1)
    client.set_registered_model_alias(name, "best", "1")
    client.rename_registered_model(name, other)
    model = client.get_registered_model(other)
    assert (model.description, model.tags, model.aliases) == ("second", {"b": "2"}, {"best": "1"})
    assert client.get_model_version_by_alias(other, "best").version == "1"
    assert [v.version for v in client.get_latest_versions(other)] == ["1"]
    found = client.search_registered_models(f"name = '{other}' AND tags.b = '2'")
    assert [m.name for m in found] == [other]
    client.delete_registered_model_alias(other, "best")
    client.delete_registered_model(other)
    assert not client.search_registered_models(f"name = '{other}'")


# --- races --------------------------------------------------------------------------------------

def together(count, work):
    """The answers of work(i) by count threads that start at once."""
    gate, answers = threading.Barrier(count), [None] * count

    def one(i):
        gate.wait()
        answers[i] = work(i)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_one_of_many_creates_wins(sluice, sql):
    https = [Http(sluice.url) for _ in range(16)]
    for _ in range(10):
        name = uuid.uuid4().hex
        answers = together(16, lambda i, n=name: https[i].call("POST", "create", name=n))
        assert sorted(a.status_code for a in answers) == [200] + [400] * 15
        assert {a.json()["message"] for a in answers if a.status_code == 400} == \
            {f"Registered Model (name={name}) already exists."}
        assert sql.execute("SELECT count(*) FROM registered_models WHERE name = %s",
                           (name,)).fetchone() == (1,)


def test_first_writers_of_a_tag_do_not_collide(sluice, version):
    https = [Http(sluice.url) for _ in range(8)]
    for _ in range(10):
        name = https[0].create()["name"]
        version(name, 1)
        answers = together(8, lambda i, n=name: https[i].call("POST", "set-tag", name=n, key="k",
                                                              value=str(i)))
        answers += together(8, lambda i, n=name: https[i].call("POST", "alias", name=n, alias="a",
                                                               version="1"))
        assert [a.json() for a in answers] == [{}] * 16
        assert len(https[0].get(name)["tags"]) == 1


def test_delete_beside_writers_leaves_nothing(sluice, sql, version):
    https = [Http(sluice.url) for _ in range(8)]
    for _ in range(20):
        name = https[0].create()["name"]
        version(name, 1)
        calls = [lambda h, n=name: h.call("DELETE", "delete", name=n)]
        calls += [lambda h, n=name, k=str(i): h.call("POST", "set-tag", name=n, key=k)
                  for i in range(4)]
        calls += [lambda h, n=name, k=str(i): h.call("POST", "alias", name=n, alias=k, version="1")
                  for i in range(3)]
        answers = together(8, lambda i, c=calls: c[i](https[i]))
        assert answers[0].status_code == 200, answers[0].text
        assert {a.status_code for a in answers} <= {200, 404}, [a.text for a in answers]
        for table in ("registered_models", "registered_model_tags", "registered_model_aliases"):
            assert sql.execute(f"SELECT count(*) FROM {table} WHERE name = %s",
                               (name,)).fetchone() == (0,)
