"""The status page in a real Chromium: what an operator reads there is what the server does, whoever named
the experiments, and in whatever light."""

import contextlib
import re
import threading
import urllib.parse

import pytest
import requests

from browser import Browser
from cluster import Cluster
from server import Sluice

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> & “é”"
SIZES = {"wide": (1280, 1500, False), "phone": (390, 844, True)}


@pytest.fixture(scope="module")
def server(postgres):
    with Sluice(postgres.create_database("status"), args=["--workers", "2"]) as s:
        yield s


@pytest.fixture(scope="module")
def runs(server):
    api = server.url + "/api/2.0/mlflow/"
    ids = []
    for name, count in ((HOSTILE, 3), ("cats and dogs", 2)):
        experiment = requests.post(api + "experiments/create", json={"name": name}, timeout=30).json()["experiment_id"]
        ids += [requests.post(api + "runs/create", json={"experiment_id": experiment, "run_name": f"{name} {n}"},
                              timeout=30).json()["run"]["info"]["run_id"] for n in range(count)]
    return ids


@pytest.fixture(scope="module")
def load(server, runs):
    """Jobs that log while the tests look."""
    stop = threading.Event()

    def work(number):
        http, step = requests.Session(), 0
        while not stop.is_set():
            step += 1
            points = [{"key": f"m{k}", "value": k / step, "timestamp": 1700000000000 + step, "step": step}
                      for k in range(4 + 8 * number)]
            said = http.post(server.url + "/api/2.0/mlflow/runs/log-batch", timeout=30,
                             json={"run_id": runs[number], "metrics": points})
            assert said.status_code == 200
            stop.wait(0.02)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(runs))]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def browser(shots):
    with Browser(shots) as b:
        yield b


def open_page(browser, url):
    page = browser.open(url)
    page.wait_for("Number(document.body?.dataset.looks) >= 2", 60, "two looks at the server")
    return page


@pytest.fixture(scope="module")
def page(browser, server, load):
    page = open_page(browser, server.url + "/sluice/status")
    page.wait_for_text("cats and dogs", HOSTILE.split("<")[-1][8:].strip())
    return page


def set_view(page, size="wide", dark=False, calm=False):
    width, height, phone = SIZES[size]
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}])


def whole_screenshot(page, name):
    height = page.evaluate("document.documentElement.scrollHeight")
    width = page.evaluate("window.innerWidth")
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
              mobile=width < 600)
    page.browser.listen(0.3)
    return page.screenshot(name)


def status(server, **params):
    return requests.get(server.admin_url + "/sluice/api/v1/status", params=params, timeout=30).json()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pictures(page, server, size, dark):
    """Nothing is wider than the window, and every text stands out from what is behind it."""
    set_view(page, size, dark)
    page.browser.listen(0.5)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    faint = page.evaluate(CONTRASTS)
    assert not faint, faint
    whole_screenshot(page, f"status-{size}-{'dark' if dark else 'light'}")
    set_view(page)


# WCAG's contrast of every element with text of its own against the nearest opaque background; 4.5 is AA.
CONTRASTS = """
(() => {
  const rgb = c => (c.match(/[0-9.]+/g) || []).map(Number);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || ['SCRIPT', 'NOSCRIPT', 'STYLE'].includes(e.tagName)) continue;
    const style = getComputedStyle(e), front = rgb(e instanceof SVGElement ? style.fill : style.color);
    let behind = e, back = [];
    while (behind && (back = rgb(getComputedStyle(behind).backgroundColor)).length === 4 && back[3] === 0)
      behind = behind.parentElement;
    const [a, b] = [light(front), light(behind ? back : [255, 255, 255])].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(`${e.tagName}.${e.getAttribute('class')}: ${e.textContent.slice(0, 30)}`);
  }
  return faint;
})()
"""


def test_figures_are_the_server_s(page, server):
    text = page.wait_for_text("All is well", "connected", "PostgreSQL")
    rate = page.evaluate("document.querySelector('.tile .value span').textContent")
    assert float(rate.replace(",", "").rstrip("K")) > 0
    assert re.search(r"up [\d.]+ (s|min)", text)
    said = status(server)
    assert said["ready"] and {h["name"]: h["state"] for h in said["health"]} == {
        "serving": "good", "journal": "good", "postgresql": "good", "flushing": "good", "redis": "off",
        "upstream": "off", "dead letters": "good"}
    assert [f["state"] for f in said["flushers"]] == ["connected", "connected"]


def test_the_busiest_are_named_in_order(page, server, runs):
    top = page.wait_for("(() => { const t = [...document.querySelectorAll('#top table')].map(t => "
                        "[...t.querySelectorAll('tbody tr')].map(r => r.innerText)); return t.length === 2 && "
                        "t[0].length === 2 && t[1].length === 5 && t; })()", 60, "both tables")
    # The fifth run sends most: "cats and dogs 1".
    assert "cats and dogs 1" in top[1][0] and runs[4] in top[1][0] and "cats and dogs" in top[0][0]
    said = status(server)["top"]
    assert said["runs"][0]["run_id"] == runs[4]
    rates = [row["points_per_second"] for row in said["runs"]]
    assert rates == sorted(rates, reverse=True) and rates[-1] > 0


def test_names_are_text_and_nothing_else(page):
    assert page.evaluate("document.title") == "Sluice: status"
    assert page.evaluate("document.querySelectorAll('#top img, #top script').length") == 0
    assert HOSTILE in page.evaluate("document.querySelector('#top').textContent")
    assert not page.errors


def test_it_fetches_from_its_own_server_alone(page, server):
    hosts = {urllib.parse.urlsplit(url).netloc for _, url, _ in page.requests if not url.startswith("data:")}
    assert hosts == {urllib.parse.urlsplit(server.url).netloc}
    paths = {urllib.parse.urlsplit(url).path for _, url, _ in page.requests if not url.startswith("data:")}
    assert paths <= {"/sluice/status", "/sluice/api/v1/status", "/sluice/api/v1/status/names"}
    assert all(code == 200 for _, url, code in page.requests)


def test_what_is_put_into_the_page_does_not_run(page):
    for attack in ("const s = document.createElement('script'); s.text = 'window.owned = 1'; document.body.append(s)",
                   "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned = 1\">')",
                   "window.owned2 = eval('1')", "document.body.append(Object.assign(document.createElement('iframe'), "
                   "{srcdoc: '<script>parent.owned = 1</script>'}))"):
        page.evaluate(f"(() => {{ try {{ {attack} }} catch (e) {{ }} }})()")
    page.browser.listen(0.5)
    assert page.evaluate("window.owned") is None
    with contextlib.suppress(AssertionError):
        page.evaluate("fetch('http://127.0.0.1:9/').then(() => { window.owned = 2 })")
    assert page.evaluate("window.owned") is None
    page.evaluate("document.querySelectorAll('iframe').forEach(f => f.remove())")


def test_policy_of_the_page(server):
    answer = requests.get(server.url + "/sluice/status", timeout=30)
    policy = dict(p.strip().split(" ", 1) for p in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"])
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)


def test_structure_for_those_who_do_not_see_it(page):
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    def names_of(role):
        return [n["name"]["value"] for n in tree if not n.get("ignored") and n["role"]["value"] == role]
    assert len(names_of("banner")) == len(names_of("main")) == len(names_of("contentinfo")) == 1
    assert {"Lately", "Health", "Who sends most", "Flushers", "How full it is"} <= set(names_of("heading"))
    assert names_of("button") == ["Pause"]
    assert all(name for role in ("image", "img", "table", "region", "group", "link", "button") for name in names_of(role))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.getElementById('verdict-text').getAttribute('aria-live')") == "polite"


def press(page, key, code=0):
    for kind in ("keyDown", "keyUp"):
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                  **({"text": "\r"} if key == "Enter" else {}))


def test_by_keyboard_alone(page):
    set_view(page)
    page.evaluate("document.activeElement.blur()")
    focused = []
    for _ in range(4):
        press(page, "Tab", 9)
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert focused == ["skip", "pause", "plot", "plot"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press(page, "ArrowLeft", 37)
    press(page, "ArrowLeft", 37)
    said = page.evaluate("document.activeElement.querySelector('[aria-live]').textContent")
    assert re.match(r"1 seconds ago: answered [\d.,K]+, 429 0, 5xx 0", said), said
    press(page, "Escape", 27)


def test_pause_stops_the_asking(page):
    page.evaluate("document.getElementById('pause').focus()")
    press(page, "Enter", 13)
    page.browser.listen(1)
    before = len(page.requests)
    page.browser.listen(3)
    assert len(page.requests) == before
    assert page.evaluate("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    press(page, "Enter", 13)
    page.wait_for("Number(document.body.dataset.looks) > 0", 30)
    page.browser.listen(3)
    assert len(page.requests) > before


def test_curves_are_there_at_once_and_grow(server, page):
    first = status(server)["pulse"]
    assert first["last"] > 0 and len(first["accepted"]) == min(first["last"], 300)
    assert max(v for v in first["accepted"] if v is not None) > 0
    more = status(server, since=first["last"])["pulse"]
    assert len(more["accepted"]) == more["last"] - first["last"]
    assert len(status(server, since=10**15)["pulse"]["accepted"]) >= len(first["accepted"])


def test_a_server_that_goes_away_is_said_to_be_gone(browser, postgres):
    database = postgres.create_database("status_gone")
    with Sluice(database) as server:
        page = open_page(browser, server.url + "/sluice/status")
        page.wait_for_text("All is well")
        server.process.send_signal(19)  # SIGSTOP: it takes connections and says nothing
        page.wait_for_text("No answer from the server", limit_s=30)
        page.screenshot("status-no-answer")
        server.process.send_signal(18)
        page.wait_for_text("All is well", limit_s=30)
        server.kill()
        page.wait_for_text("No answer from the server", limit_s=30)


def test_trouble_is_said_first_and_in_red(browser, postgres):
    database = postgres.create_database("status_trouble")
    with Sluice(database, args=["--upstream", "http://127.0.0.1:1", "--upstream-failures", "1",
                                "--upstream-pause", "1h", "--workers", "1"]) as server:
        page = open_page(browser, server.url + "/sluice/status")
        assert requests.get(server.url + "/api/2.0/mlflow/traces/1", timeout=30).status_code == 502
        text = page.wait_for_text("Needs somebody: upstream: failed again and again")
        assert page.evaluate("document.getElementById('verdict').className") == "verdict bad"
        assert "(!!)" in page.evaluate("document.title") and text
        page.screenshot("status-trouble")


def test_not_on_listen_when_switched_off(postgres):
    with Sluice(postgres.create_database("status_off"), args=["--no-status-on-listen"]) as server:
        for path in ("/sluice/status", "/sluice/api/v1/status", "/sluice/api/v1/status/names", "/metrics"):
            answer = requests.get(server.url + path, timeout=30)
            assert answer.status_code == 404 and answer.json()["error_code"] == "ENDPOINT_NOT_FOUND", path
            assert requests.get(server.admin_url + path, timeout=30).status_code == 200, path


def test_it_answers_while_postgresql_does_not(browser):
    with Cluster() as cluster, Sluice(cluster.create_database("away")) as server:
        page = open_page(browser, server.url + "/sluice/status")
        page.wait_for_text("All is well")
        cluster.stop()
        page.wait_for_text("Needs somebody: postgresql: a flusher has no connection to PostgreSQL")
        health = {h["name"]: h["state"] for h in status(server)["health"]}
        assert health["postgresql"] == "bad" and health["journal"] == "good"
        cluster.start()
        page.wait_for_text("All is well")
