"""Are two answers, or two sets of rows, the same but for what a server makes up itself?

Ids, times and random run names differ between the servers. They are not blanked out: a Pairing
remembers which made-up value of one side stands for which of the other, both ways, so an answer
that names the wrong run is a mismatch even though any run id would look right. Times count as
equal when both lie within the test run. Everything else must be equal, type included: 1 is not
1.0, "1" is not 1, 0.0 is not -0.0.
"""

import base64
import binascii
import json
import re
import time

TOKEN = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b"
                   r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
                   r"|\bserver-[a-z0-9_]{8}\b"  # the folder it runs in: relative locations
                   r"|(?<![\w.-])\d+(?![\w.])")
RUN_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}$")
MARGIN_MS = 10_000
# Lists whose order MLflow does not promise: they come from a relation without ORDER BY.
UNORDERED = {"tags", "params", "aliases", "dataset_inputs", "model_inputs", "model_outputs",
             "latest_versions", "dataset_summaries"}
HEADERS = ("content-type", "allow", "location", "retry-after", "www-authenticate",
           "x-content-type-options", "x-frame-options", "content-disposition",
           "access-control-allow-origin", "access-control-allow-credentials")


class Twice(Exception):
    """An object of an answer has a name twice."""


def _object(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Twice
    return dict(pairs)


def parse_json(body):
    """The document, or None when the body is none (or has a name twice in one object)."""
    try:
        return json.loads(body, object_pairs_hook=_object)
    except (ValueError, Twice, RecursionError):
        return None


class Pairing:
    """Which made-up value of the stock server stands for which of Sluice."""

    def __init__(self, begin_ms=None):
        self.begin_ms = begin_ms or time.time() * 1000
        self.to_sluice = {}
        self.to_stock = {}

    def is_now(self, number):
        return self.begin_ms - MARGIN_MS <= number <= time.time() * 1000 + MARGIN_MS

    def pair(self, stock, sluice):
        """True when the two stand for each other; unknown ones are remembered from here on."""
        if stock in self.to_sluice or sluice in self.to_stock:
            return self.to_sluice.get(stock) == sluice
        self.to_sluice[stock] = sluice
        self.to_stock[sluice] = stock
        return True

    def mask(self, value, side):
        """A text to sort by that is the same on both sides: known ids by name, others blank."""
        known = self.to_sluice if side == "stock" else self.to_stock

        def blank(found):
            token = found[0]
            if token.isdigit():
                return "T" if self.is_now(int(token)) else token
            if token not in known:
                return "ID"
            return token if side == "stock" else known[token]

        text = json.dumps(value, sort_keys=True, default=str)
        text = re.sub(r'"[a-z]+-[a-z]+-\d{1,4}"', '"NAME"', text)
        return TOKEN.sub(blank, text)

    def same_text(self, stock, sluice):
        if stock == sluice:
            return True
        if RUN_NAME.match(stock) and RUN_NAME.match(sluice):
            return self.pair(stock, sluice)
        if TOKEN.split(stock) != TOKEN.split(sluice):
            return False
        return all(map(self._same_token, TOKEN.findall(stock), TOKEN.findall(sluice)))

    def _same_token(self, stock, sluice):
        if stock == sluice:
            return True
        if stock.isdigit() and sluice.isdigit():
            if self.is_now(int(stock)) and self.is_now(int(sluice)):
                return True
            return self.to_sluice.get(stock) == sluice
        return len(stock) == len(sluice) and self.pair(stock, sluice)

    def _same_number(self, stock, sluice):
        return stock == sluice or self.pair(stock, sluice)

    def differences(self, stock, sluice, path="", name="", unordered=UNORDERED):
        """Yields (path, stock's value, Sluice's value) wherever the two are not the same."""
        if name.endswith("page_token") and isinstance(stock, str) and isinstance(sluice, str):
            stock, sluice = _decoded(stock), _decoded(sluice)
        if type(stock) is not type(sluice):
            yield path, stock, sluice
        elif isinstance(stock, dict):
            for key in sorted(stock.keys() | sluice.keys()):
                here = f"{path}.{key}" if path else key
                if key not in stock or key not in sluice:
                    yield here, stock.get(key, "(absent)"), sluice.get(key, "(absent)")
                else:
                    yield from self.differences(stock[key], sluice[key], here, key, unordered)
        elif isinstance(stock, list):
            yield from self._lists(stock, sluice, path, name, unordered)
        elif isinstance(stock, str):
            is_number = name == "experiment_id" and stock.isdigit() and sluice.isdigit()
            if not (self._same_number if is_number else self.same_text)(stock, sluice):
                yield path, stock, sluice
        elif repr(stock) != repr(sluice):
            is_integer = type(stock) is int
            if is_integer and name == "experiment_id":
                same = self._same_number(str(stock), str(sluice))
            else:
                same = is_integer and self.is_now(stock) and self.is_now(sluice)
            if not same:
                yield path, stock, sluice

    def _lists(self, stock, sluice, path, name, unordered):
        if len(stock) != len(sluice):
            yield f"{path} (length {len(stock)}, {len(sluice)})", stock, sluice
            return
        if name in unordered or (name == "metrics" and path.endswith("data.metrics")):
            stock = sorted(stock, key=lambda v: self.mask(v, "stock"))
            sluice = sorted(sluice, key=lambda v: self.mask(v, "sluice"))
        for i, (one, other) in enumerate(zip(stock, sluice)):
            yield from self.differences(one, other, f"{path}[{i}]", "", unordered)

    def rows(self, table, stock, sluice):
        """The same for the rows of a table, each a dict; their order does not matter."""
        stock = sorted(stock, key=lambda v: self.mask(v, "stock"))
        sluice = sorted(sluice, key=lambda v: self.mask(v, "sluice"))
        if len(stock) != len(sluice):
            yield (f"{table}: {len(stock)} rows, {len(sluice)} rows", *_only(self, stock, sluice))
            return
        for one, other in zip(stock, sluice):
            for path, a, b in self.differences(one, other, "", table):
                yield f"{table}.{path} of {_short(one)}", a, b


def _only(pairing, stock, sluice):
    """The rows that only one side has, by their masked texts."""
    masks = ([pairing.mask(v, "stock") for v in stock], [pairing.mask(v, "sluice") for v in sluice])
    return ([m for m in masks[0] if m not in masks[1]][:5],
            [m for m in masks[1] if m not in masks[0]][:5])


def _short(row):
    text = json.dumps(row, default=str)
    return text if len(text) < 160 else text[:157] + "..."


def _decoded(token):
    """A page token's document, so that ids within it can be paired; the text when it is none."""
    try:
        text = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        return token
    document = parse_json(text)
    return text if document is None else document


class Answer:
    """What one server said."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {k.lower(): v for k, v in headers}
        self.body = body
        self.json = parse_json(body)

    @property
    def type(self):
        return self.headers.get("content-type", "").partition(";")[0]

    @property
    def code(self):
        return self.json.get("error_code") if isinstance(self.json, dict) else None

    @property
    def message(self):
        return self.json.get("message") if isinstance(self.json, dict) else None

    def __str__(self):
        body = self.body.decode("utf-8", "backslashreplace")
        if self.json is not None:
            body = json.dumps(self.json)
        more = "" if len(body) <= 1500 else f"... ({len(body)} characters)"
        return f"{self.status} {self.headers.get('content-type', '-')} {body[:1500]}{more}"


def compare_answers(pairing, stock, sluice, unordered=()):
    """[(what, stock's, Sluice's)] of two answers; `what` is status, header NAME, or body PATH."""
    found = []
    if stock.status != sluice.status:
        found.append(("status", stock.status, sluice.status))
    for name in HEADERS:
        one, other = stock.headers.get(name), sluice.headers.get(name)
        if name == "allow" and one and other:
            one, other = sorted(re.split(r", *", one)), sorted(re.split(r", *", other))
        same = one == other or (one and other and isinstance(one, str)
                                and pairing.same_text(one, other))
        if not same:
            found.append((f"header {name}", one, other))
    if stock.json is None and sluice.json is None:
        one, other = (a.body.decode("utf-8", "backslashreplace") for a in (stock, sluice))
        if not pairing.same_text(one, other):
            found.append(("body", one, other))
    elif stock.json is None or sluice.json is None:
        found.append(("body", str(stock), str(sluice)))
    else:
        loose = UNORDERED | set(unordered)
        found += [(f"body {path}".rstrip(), one, other) for path, one, other in
                  pairing.differences(stock.json, sluice.json, unordered=loose)]
    return found
