"""The load generator's page in a real Chromium: every plot is drawn, and can be read by day and by night."""

import json
import os
import subprocess

import pytest

from browser import Browser
from server import ROOT, Sluice, clean_environment

GENERATOR = os.path.join(ROOT, "build/sluice-loadtest")
PLOTS = ("Requests", "Points", "Errors: attempts", "Latency from the intended moment of sending", "Backlog",
         "Memory of the server", "Descriptors and connections of the server", "Latency by percentile")
CURVES = """[...document.querySelectorAll('svg')].map(svg => [svg.getAttribute('aria-label'),
    [...svg.querySelectorAll('polyline')].map(line => {
        const box = line.getBBox(), view = svg.viewBox.baseVal;
        return line.getAttribute('points').trim().split(' ').length > 1
            && box.x >= 0 && box.y >= 0 && box.x + box.width <= view.width
            && box.y + box.height <= view.height && getComputedStyle(line).stroke !== 'none';
    })])"""
# Contrast of the text with what is behind it, as WCAG 2 reckons it.
CONTRAST = """(() => {
    const light = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const of = (e, p) => light(getComputedStyle(e)[p].match(/\\d+/g).slice(0, 3).map(Number));
    const back = of(document.body, 'backgroundColor');
    const ratio = v => (Math.max(v, back) + .05) / (Math.min(v, back) + .05);
    const ratios = (css, p) => [...document.querySelectorAll(css)].map(e => ratio(of(e, p)));
    return {text: Math.min(...ratios('h1, h2, p, td', 'color'), ...ratios('svg text', 'fill')),
            lines: Math.min(...ratios('polyline', 'stroke'))};
})()"""


@pytest.fixture(scope="module")
def report(postgres, tmp_path_factory):
    """One that has something to show in every plot."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    with Sluice(postgres.create_database("report")) as server:
        subprocess.run([GENERATOR, "--url", server.url.replace("//", "//anna:hidden@"), "--jobs", "8",
                        "--rate", "400", "--batch", "10", "--duration", "4s", "--sample", "200ms", "--no-progress",
                        "--mix", "log-batch=8,log-metric=1,system-metrics=1",
                        "--pid", str(server.process.pid), "--admin-url", server.admin_url,
                        "--pg-uri", server.pg_uri, "--verify", "--html", str(path), "--json",
                        str(path.with_suffix(".json"))],
                       check=True, env=clean_environment(), capture_output=True, timeout=120)
    return path


@pytest.fixture(scope="module")
def page(report, shots):
    with Browser(shots) as browser:
        page = browser.open(report.as_uri())
        page.wait_for_text("Figures", "Settings")
        yield page


def test_every_plot_is_drawn_inside_its_frame(page):
    plots = dict(page.evaluate(CURVES))
    assert list(plots) == list(PLOTS)
    for name, curves in plots.items():
        assert curves and all(curves), name


def test_it_needs_nothing_else(page, report):
    assert [url for _, url, _ in page.requests] == [report.as_uri()]
    assert page.errors == [] and page.evaluate("document.scripts.length") == 0


def test_figures_are_those_of_the_json(page, report):
    figures = json.loads(report.with_suffix(".json").read_text())["figures"]
    text = page.text()
    assert f"points_acked\t{figures['points_acked']:.0f}" in text
    assert "Every acknowledged point is stored exactly once" in text
    assert "hidden" not in page.evaluate("document.documentElement.outerHTML")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read(page, scheme):
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.call("Emulation.setDeviceMetricsOverride", width=1100, height=2700, deviceScaleFactor=1, mobile=False)
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    contrast = page.evaluate(CONTRAST)
    assert contrast["text"] >= 4.5 and contrast["lines"] >= 3, contrast
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(f"loadtest-{scheme}")
