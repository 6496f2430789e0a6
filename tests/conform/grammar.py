"""Random search filters and orders: mostly grammatical, often with one thing wrong.

A dialect is one of MLflow's five searches. Words come from what the fixture of generate.py holds,
so that good filters find something. ${a}..${d} are the fixture's runs, ${e} its experiment; ids
stand only within quotes that cannot break, for how a bare one is cut depends on its digits.
"""

DIALECTS = {
    "runs": {
        "entities": ["metrics", "metric", "params", "param", "parameter", "parameters", "tags",
                     "tag", "attributes", "attribute", "attr", "run", "datasets", "dataset"],
        "keys": {
            "metric": ["acc", "loss", "`m-1`", '"a/b"', "none"],
            "param": ["lr", "opt", "`p q`", "z", "none", "order"],
            "tag": ["k1", "k2", "t.dot", "`qu'ote`", "字", "mlflow.runName", "none"],
            "dataset": ["name", "digest", "context"],
            "attribute": ["run_id", "run_name", "status", "user_id", "start_time", "end_time",
                          "created", "artifact_uri", "`run name`", "`Run name`"]},
        "orders": ["metrics.acc", "metrics.`m-1`", "params.lr", "tags.k1", "attributes.status",
                   "start_time", "created", "end_time", "user_id", "run_name", "bogus", "tags.none",
                   "datasets.name"]},
    "experiments": {
        "entities": ["tags", "tag", "attribute", "attributes"],
        "keys": {
            "tag": ["k1", "k2", "t.dot", "`qu'ote`", "字", "none"],
            "attribute": ["name", "experiment_id", "creation_time", "last_update_time"]},
        "orders": ["name", "experiment_id", "creation_time", "last_update_time", "attribute.name",
                   "tags.k1", "bogus"]},
    "registered": {
        "entities": ["tags", "tag", "attribute"],
        "keys": {
            "tag": ["k1", "k2", "`mlflow.prompt.is_prompt`", "mlflow.prompt.is_prompt", "none"],
            "attribute": ["name"]},
        "orders": ["name", "timestamp", "last_updated_timestamp", "`name`", "attribute.name",
                   "bogus", "creation_timestamp"]},
    "versions": {
        "entities": ["tags", "tag", "attribute"],
        "keys": {
            "tag": ["k1", "k2", "`mlflow.prompt.is_prompt`", "none"],
            "attribute": ["name", "run_id", "source_path", "version_number"]},
        "orders": ["name", "version_number", "creation_timestamp", "last_updated_timestamp",
                   "attribute.name", "tags.k1", "bogus"]},
    "models": {
        "entities": ["metrics", "params", "tags", "attributes", "metric", "tag"],
        "keys": {
            "metric": ["acc", "loss", "`m-1`", "none"],
            "param": ["lr", "opt", "none"],
            "tag": ["k1", "k2", "none"],
            "attribute": ["name", "model_type", "status", "creation_timestamp", "creation_time",
                          "last_updated_timestamp", "source_run_id", "lifecycle_stage"]},
        "orders": ["metrics.acc", "creation_timestamp", "name", "metrics.none", "bogus"]},
}
KIND = {"metrics": "metric", "metric": "metric", "params": "param", "param": "param",
        "parameter": "param", "parameters": "param", "tags": "tag", "tag": "tag",
        "datasets": "dataset", "dataset": "dataset"}
NUMERIC = {"start_time", "end_time", "created", "creation_time", "last_update_time",
           "version_number", "creation_timestamp", "last_updated_timestamp"}
TEXT_OPS = ["=", "!=", "LIKE", "ILIKE", "like", "ilike", "Like", "IN", "NOT IN", "in", "not in",
            "IS NULL", "IS NOT NULL", "is null", "is not null"]
NUMBER_OPS = ["=", "!=", "<", "<=", ">", ">="]
ODD_OPS = ["==", "<>", "~", "NOT LIKE", "RLIKE", "IS", "IS NOT", "BETWEEN", "NOT  IN", "^", "||",
           "->", ":", ":=", "%", "!", "&&", "IN  ", "*"]
WORDS = ["v1", "V1", "v_1", "v%", "_1", "%", "", "u1", "u2", "Adam", "ada_", "0.01", "0.01\\\\%",
         "beta", "alpha", "Gamma", "FINISHED", "RUNNING", "ds1", "d1", "train", "m1",
         "true", "True", "false", "ä", "字", "it''s", "a;b", "a -- b",
         "a,b", "1", " "]
NUMBERS = ["0", "1", "-1", "0.5", "-5", "5", "7", "1e-3", "2000", "2500.0", "1000", "3e3",
           "1e400", ".5", "5.", "-.5", "1E3", "2.5e-1", "9223372036854775807",
           "9223372036854775808", "00", "007"]
ODD_VALUES = ["v1", "NULL", "null", "true", "NaN", "inf", "+1", "- 1", "1e+2", "0x1", "1_0", "``",
              "`v1`", "a.b", "'open", '\\"open', "N'v1'", "'x\\\\'", "x'41'", "$1", ":a", "?",
              "@a", "#", "(1)", "()", "[]", "('v1'", "CURRENT_DATE", "f('v1')", "'v1' 'v2'",
              "'a'||'b'", "-'v1'", "1 + 1", "*"]
JOINS = [" AND ", " and ", " AND ", " AND ", "  and\\n", " ", " AND AND ", " OR ", ", ", "; ",
         " && ", "\\tAND\\t", " AND NOT ", "AND", " -- x\\n", "/**/"]
# Read by sqlparse in ways of their own; also characters that a lexer may trip over.
BITS = ["(", ")", "'", '\\"', "`", ".", ",", ";", "=", "<", ">", "-", "--", "/*", "*/", "#", "%",
        "\\\\", "\\n", "\\t", "\\u00a0", "\\u0000", "\\ud83d\\ude00", "ä", "字", "e\\u0301", "[",
        "]", "{", "}", "@", "$$", "$a$", "::", "AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE",
        "select", "case", "end", "as", "from", "begin", "if", "for", "0", "1e5", "9", "_",
        "order by", "union", "values", "set", "create", "desc", "interval", "with", "over",
        "date", "at time zone", "\\u2028", "\\ufeff"]


def quoted(rng, text):
    return f"'{text}'" if rng.random() < 0.8 else f'\\"{text}\\"'


def value(rng, kind, key, operator):
    """A value that suits, or in one of eight cases does not."""
    if rng.random() < 0.06:
        return rng.choice(ODD_VALUES)
    if operator.upper().endswith("NULL"):
        return ""
    if operator.upper().endswith("IN"):
        items = [quoted(rng, rng.choice(WORDS)) for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.1:
            items = rng.choice([[], ["1", "2"], ["x"], ["'a'", "1"], ["('a')"], ["'a' 'b'"],
                                ["u'a'"]])
        if rng.random() < 0.1:
            items.append("")
        return "(" + rng.choice([", ", ",", " ,\\n"]).join(items) + ")"
    is_number = kind == "metric" or key.strip("`") in NUMERIC
    if rng.random() < 0.06:
        is_number = not is_number
    return rng.choice(NUMBERS) if is_number else quoted(rng, rng.choice(WORDS))


def legal_operators(dialect, kind, key):
    """What the dialect takes for this key."""
    text = ["=", "!=", "LIKE", "ILIKE"]
    if kind == "metric" or key in NUMERIC:
        return NUMBER_OPS
    if kind == "attribute" and key == "experiment_id":
        return ["=", "!=", "IN", "NOT IN"]
    if dialect == "models" or kind == "dataset" or key == "run_id" \
            or (key == "name" and dialect in ("registered", "versions")):
        return text + ["IN", "NOT IN"]
    if kind in ("param", "tag") and dialect in ("runs", "experiments"):
        return text + ["IS NULL", "IS NOT NULL"]
    return text


def good_clause(rng, dialect):
    """One that the dialect takes."""
    words = DIALECTS[dialect]
    kind = rng.choice(list(words["keys"]))
    key = rng.choice(words["keys"][kind])
    entities = [e for e in words["entities"] if KIND.get(e, "attribute") == kind]
    if dialect in ("experiments", "registered", "versions"):
        entities = [e for e in entities if e != "attributes"]
    elif dialect == "models":
        entities = [e for e in entities if e.endswith("s")]
    entity = rng.choice(entities)
    name = key if kind == "attribute" and rng.random() < 0.5 else f"{entity}.{key}"
    operator = rng.choice(legal_operators(dialect, kind, key))
    if operator.endswith("NULL"):
        return f"{name} {operator}"
    if kind == "metric" or key in NUMERIC:
        return f"{name} {operator} {rng.choice(NUMBERS[:10])}"
    words = WORDS
    if key == "experiment_id":
        words = ["${e}", "${f}", "0", "77777"]
    elif key in ("run_id", "source_run_id"):
        words = ["${a}", "${b}", "%", "none"]
    elif rng.random() < 0.2:
        words = ["%", "_%", "%a%", "v_"]
    if operator.endswith("IN"):
        items = ", ".join(quoted(rng, rng.choice(words)) for _ in range(rng.randint(1, 3)))
        return f"{name} {operator} ({items})"
    return f"{name} {operator} {quoted(rng, rng.choice(words))}"


def clause(rng, dialect):
    words = DIALECTS[dialect]
    entity = rng.choice(words["entities"]) if rng.random() < 0.75 else ""
    kind = KIND.get(entity, "attribute")
    key = rng.choice(words["keys"].get(kind, ["x"]))
    if rng.random() < 0.05:
        entity = rng.choice(["Metrics", "bogus", "`tags`", '\\"tags\\"', "TAG", "trait", "5", "ä"])
    if rng.random() < 0.05:
        key = rng.choice(["", " a", "1", "1a", "a-b", "in", "AS", "`a", "'k1'", '\\"k1\\"', "a..b",
                          "*", "k1 "])
    is_number = kind == "metric" or key.strip("`") in NUMERIC
    operator = rng.choice(NUMBER_OPS if is_number else TEXT_OPS)
    roll = rng.random()
    if roll < 0.06:
        operator = rng.choice(TEXT_OPS + NUMBER_OPS)
    elif roll < 0.1:
        operator = rng.choice(ODD_OPS)
    name = f"{entity}.{key}" if entity else key
    gaps = [" ", " ", " ", " ", "", "  ", "\\n"]
    left = " " if operator[0].isalpha() and rng.random() < 0.9 else rng.choice(gaps)
    text = name + left + operator
    what = value(rng, kind, key, operator)
    return text + (rng.choice(gaps) if what and operator[-1] in "=<>" else " " * bool(what)) + what


def spoil(rng, text):
    """One random change of characters."""
    if not text:
        return rng.choice(BITS)
    at = rng.randrange(len(text))
    while at and text[at - 1] in "\\${":  # not inside an escape or a variable
        at -= 1
    roll = rng.random()
    if "${" in text[max(0, at - 4):at + 5] or "\\" in text[max(0, at - 6):at + 6]:
        return text + rng.choice(BITS)
    if roll < 0.4:
        return text[:at] + text[at + 1:]
    if roll < 0.8:
        return text[:at] + rng.choice(BITS) + text[at:]
    return text[:at]


def search_filter(rng, dialect):
    """A filter as it stands within a JSON string: quotes and controls are escaped already."""
    count = rng.choice([1, 1, 1, 2, 2, 3, 4])
    if rng.random() < 0.55:
        return " AND ".join(good_clause(rng, dialect) for _ in range(count))
    text = clause(rng, dialect)
    for _ in range(count - 1):
        joint = rng.choice(JOINS) if rng.random() < 0.25 else " AND "
        text += joint + clause(rng, dialect)
    if rng.random() < 0.2:
        text = spoil(rng, text)
    if rng.random() < 0.03:
        text = " ".join(rng.choice(BITS + WORDS) for _ in range(rng.randint(1, 8)))
    return text


def order(rng, dialect):
    text = rng.choice(DIALECTS[dialect]["orders"])
    if rng.random() < 0.6:
        text += rng.choice([" ASC", " DESC", " asc", " desc", "  DESC", " Desc", "\\nASC"])
    if rng.random() < 0.08:
        text = spoil(rng, text)
    return text
