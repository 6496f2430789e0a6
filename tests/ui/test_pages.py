"""The pages of the stock UI in a real Chromium: what people read there is what the client has logged."""

import json
import re

import pytest
from mlflow.tracking import MlflowClient

from browser import Browser
from certificates import Authority
from server import Sluice

LOSSES = {"first": [4.25, 2.5, 1.75], "second": [3.5, 0.625]}


@pytest.fixture(scope="module")
def server(postgres, ui_dir):
    with Sluice(postgres.create_database("pages"), args=["--ui-dir", ui_dir]) as s:
        yield s


@pytest.fixture(scope="module")
def logged(server):
    """Two runs of an experiment, and a model with two versions."""
    client = MlflowClient(server.url)
    experiment = client.create_experiment("cats and dogs")
    runs = {}
    for name, losses in LOSSES.items():
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run, "depth", f"depth-{name}")
        for step, loss in enumerate(losses):
            client.log_metric(run, "loss", loss, step=step)
        client.set_tag(run, "team", "blue")
        client.set_terminated(run)
        runs[name] = run
    client.create_registered_model("classifier", description="tells cats from dogs")
    for name, run in runs.items():
        client.create_model_version("classifier", f"dbfs:/models/{name}", run, description=f"of {name}",
                                    await_creation_for=0)
    client.set_registered_model_alias("classifier", "champion", "2")
    return {"experiment": experiment, "runs": runs}


@pytest.fixture(scope="module")
def browser(shots):
    with Browser(shots) as b:
        yield b


@pytest.fixture(scope="module")
def page(browser, server, logged):
    """One page, that goes from place to place as a person does."""
    page = browser.open(server.url + "/#/experiments")
    page.wait_for("document.body && document.body.innerText.length", 60, "something is drawn")
    page.evaluate("""(() => {
        window.said = [];
        new MutationObserver(changes => changes.forEach(c => c.addedNodes.forEach(n => {
            const text = n.innerText || '';
            if (/[A-Z]+_NOT_FOUND|_ERROR\\b|went wrong|NOT_IMPLEMENTED/.test(text)) window.said.push(text);
        }))).observe(document, {childList: true, subtree: true});
    })()""")
    return page


def test_list_of_experiments(page, server):
    page.wait_for_text("cats and dogs", "Default")
    page.screenshot("1-experiments")


def test_table_of_runs(page, server, logged):
    page.go(f"{server.url}/#/experiments/{logged['experiment']}/runs")
    page.wait_for_text("first", "second", "2 matching runs")
    page.screenshot("2-runs")
    names = page.evaluate("[...document.querySelectorAll('a[href*=\"/runs/\"]')].map(a => a.innerText)")
    assert {"first", "second"} <= {n.strip() for n in names}


def test_search_in_the_table(page, server, logged):
    where = f"{server.url}/#/experiments/{logged['experiment']}/runs?searchFilter=metrics.loss%20%3C%201"
    page.go(where)
    page.wait_for_text("1 matching run")
    assert "second" in page.text()


def test_page_of_a_run(page, server, logged):
    run = logged["runs"]["first"]
    page.go(f"{server.url}/#/experiments/{logged['experiment']}/runs/{run}")
    text = page.wait_for_text("Metrics (1)", "1.75", "Parameters (1)", "depth-first", run, "Finished")
    page.screenshot("3-run")
    assert re.search(r"loss\s+1\.75", text) and re.search(r"depth\s+depth-first", text) and "team" in text


def test_chart_of_a_metric(page, server, logged):
    run = logged["runs"]["first"]
    page.go(f"{server.url}/#/experiments/{logged['experiment']}/runs/{run}/model-metrics")
    page.wait_for("document.querySelector('.js-plotly-plot')?.data?.[0]?.y?.length", 90, "a chart")
    drawn = page.evaluate("(() => { const d = document.querySelector('.js-plotly-plot').data[0];"
                          " return {x: [...d.x], y: [...d.y]}; })()")
    page.wait_for("document.querySelectorAll('.js-plotly-plot path.js-line').length", 30, "a line")
    page.screenshot("4-chart")
    assert drawn == {"x": [0, 1, 2], "y": LOSSES["first"]}


def test_registered_models(page, server):
    page.go(server.url + "/#/models")
    page.wait_for_text("classifier", "Version 2", "champion")
    page.screenshot("5-models")


def test_a_registered_model(page, server):
    page.go(server.url + "/#/models/classifier")
    page.wait_for_text("tells cats from dogs", "Version 1", "Version 2", "of first", "of second")
    page.screenshot("6-model")


def test_a_model_version(page, server, logged):
    page.go(server.url + "/#/models/classifier/versions/2")
    page.wait_for_text("Version 2", "of second", "second")
    page.screenshot("7-version")


def test_no_page_had_an_error(page, server):
    """Runs last. What the UI asks for and nobody here answers is 404, which it takes for a server without
    that feature."""
    assert page.errors == []
    assert page.evaluate("window.said") == []  # no toast, no panel that says what failed
    bad = {(m, re.sub(r"\?.*", "", u.replace(server.url, "")), s) for m, u, s in page.requests
           if u.startswith(server.url) and s not in (200, 304)}
    print(json.dumps(sorted(bad), indent=1))
    bad.discard(("GET", "/model-versions/get-artifact", 501))  # dbfs: is not read here
    assert all(status == 404 for _, _, status in bad), bad
    asked = " ".join(u for _, u, _ in page.requests)
    for part in ("experiments/search", "runs/search", "graphql", "get-history-bulk-interval",
                 "registered-models/search", "model-versions/search", "server-info"):
        assert part in asked, f"the UI has not asked for {part}"


def test_below_a_prefix_and_behind_tls(postgres, ui_dir, browser, tmp_path):
    """The same page where people have it: /team/ on https."""
    cert, key = Authority(tmp_path, "authority").sign("server")
    with Sluice(postgres.create_database("prefix"), args=[
            "--ui-dir", ui_dir, "--static-prefix", "/team", "--tls-cert", str(cert), "--tls-key", str(key)]) as server:
        page = browser.open("about:blank")
        page.call("Security.setIgnoreCertificateErrors", ignore=True)  # the test's own authority
        page.go(server.url + "/team")
        page.wait_for_text("Welcome to MLflow")
        assert page.evaluate("location.href").startswith(server.url + "/team/")
        page.go(server.url + "/team/#/experiments")
        page.wait_for_text("Default")
        assert not [r for r in page.requests if "/team/" not in r[1] and r[1].startswith(server.url + "/a")]
