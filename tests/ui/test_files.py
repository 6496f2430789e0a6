"""index.html and the files behind it: types, caching, prefix, and what no path can reach."""

import os
import re
import shutil
import socket
import subprocess
import urllib.parse

import pytest
import requests

from server import BINARY, Sluice

TYPES = {".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8",
         ".txt": "text/plain; charset=utf-8", ".json": "application/json",
         ".svg": "image/svg+xml; charset=utf-8", ".png": "image/png", ".ico": "image/vnd.microsoft.icon",
         ".ttf": "font/ttf", ".woff": "font/woff", ".woff2": "font/woff2",
         ".eot": "application/vnd.ms-fontobject", ".cjs": "application/octet-stream"}


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.create_database("files")


@pytest.fixture(scope="module")
def server(database, ui_dir):
    with Sluice(database, args=["--ui-dir", ui_dir]) as s:
        yield s


def all_files(folder):
    for path, _, names in os.walk(folder):
        yield from (os.path.relpath(os.path.join(path, n), folder) for n in names)


def status_of(server, target):
    """The status for a target that no client would write like that."""
    url = urllib.parse.urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port), timeout=30) as s:
        s.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        data = b""
        while got := s.recv(65536):
            data += got
    return int(data.split()[1]), data


def test_every_file_comes_as_it_is_with_its_type(server, ui_dir):
    http = requests.Session()
    open_files = os.listdir(f"/proc/{server.process.pid}/fd")
    seen = set()
    for name in all_files(ui_dir):
        answer = http.get(f"{server.url}/static-files/{name}", timeout=30)
        ending = os.path.splitext(name)[1]
        with open(os.path.join(ui_dir, name), "rb") as f:
            assert answer.status_code == 200 and answer.content == f.read(), name
        assert answer.headers["content-type"] == TYPES[ending], name
        assert answer.headers["cache-control"] == "public, max-age=2419200"
        assert "content-encoding" not in answer.headers
        seen.add(ending)
    assert seen == TYPES.keys()
    http.close()
    assert len(os.listdir(f"/proc/{server.process.pid}/fd")) <= len(open_files) + 1, "one is still open"


def test_the_page_is_asked_for_again_and_not_sent_again(server, ui_dir):
    page = requests.get(server.url + "/", timeout=30)
    with open(os.path.join(ui_dir, "index.html"), encoding="utf-8") as f:
        assert page.text == f.read()
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["content-disposition"] == "inline; filename=index.html"
    assert page.headers["x-frame-options"] == "SAMEORIGIN"
    tag = page.headers["etag"]
    for held in (tag, f'"other", W/{tag}', "*"):
        again = requests.get(server.url + "/", headers={"If-None-Match": held}, timeout=30)
        assert again.status_code == 304 and again.headers["etag"] == tag and not again.content
        assert "content-length" not in again.headers
    other = requests.get(server.url + "/", headers={"If-None-Match": tag[:-2] + '"'}, timeout=30)
    assert other.status_code == 200
    head = requests.head(server.url + "/", timeout=30)
    assert head.headers["content-length"] == str(len(page.content)) and not head.content


def test_notebooks_may_frame_the_renderer_and_nothing_else(server):
    page = requests.get(server.url + "/static-files/lib/notebook-trace-renderer/index.html", timeout=30)
    assert page.status_code == 200 and "x-frame-options" not in page.headers
    assert requests.get(server.url + "/static-files/favicon.ico",
                        timeout=30).headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("target", [
    b"/static-files/../../etc/passwd", b"/static-files/..%2f..%2fetc/passwd", b"/static-files/%2e%2e/passwd",
    b"/static-files//etc/passwd", b"/static-files/%2fetc%2fpasswd", b"/static-files/./index.html",
    b"/static-files/static/../index.html", b"/static-files/static", b"/static-files/static/",
    b"/static-files/", b"/static-files", b"/static-files/index.html/", b"/static-files/index.html%0a",
    b"/static-files/INDEX.HTML", b"/static-files/index.html..", b"/static-files/..%5cpasswd",
    b"/static-files/.hidden", b"/static-files/link", b"/static-files/loop/index.html", b"/index.html"])
def test_only_names_of_the_tree_are_served(database, ui_dir, tmp_path, target):
    tree = tmp_path / "tree"
    tree.mkdir()
    shutil.copy(os.path.join(ui_dir, "index.html"), tree)
    (tree / "static").mkdir()
    (tree / ".hidden").write_text("secret")
    (tree / "link").symlink_to("/etc/passwd")
    (tree / "loop").symlink_to(tree)
    with Sluice(database, args=["--ui-dir", str(tree)]) as server:
        assert status_of(server, b"/static-files/index.html")[0] == 200
        status, data = status_of(server, target)
        assert status == 404 and b"root:" not in data and b"ENDPOINT_NOT_FOUND" in data


def test_an_encoded_nul_is_no_path(server):
    assert status_of(server, b"/static-files/index.html%00")[0] == 400


def test_a_file_that_is_replaced_has_another_tag_and_one_that_is_gone_is_404(database, ui_dir, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(ui_dir, tree, ignore=shutil.ignore_patterns("*.js", "*.txt"))
    with Sluice(database, args=["--ui-dir", str(tree)]) as server:
        url = server.url + "/static-files/favicon.ico"
        first = requests.get(url, timeout=30)
        (tree / "new").write_bytes(b"other")
        os.replace(tree / "new", tree / "favicon.ico")
        second = requests.get(url, headers={"If-None-Match": first.headers["etag"]}, timeout=30)
        assert second.status_code == 200 and second.content == b"other"
        os.unlink(tree / "favicon.ico")
        assert requests.get(url, timeout=30).status_code == 404
        os.symlink("/etc/passwd", tree / "favicon.ico")
        assert requests.get(url, timeout=30).status_code == 404


def test_below_a_prefix(database, ui_dir):
    with Sluice(database, args=["--ui-dir", ui_dir, "--static-prefix", "/pfx"]) as server:
        def get(path, **headers):
            return requests.get(server.url + path, headers=headers, timeout=30, allow_redirects=False)

        assert get("/pfx/").status_code == 200 and get("/").status_code == 404
        asset = re.search(r'src="([^"]+)"', get("/pfx/").text)[1]
        assert get("/pfx/" + asset).status_code == 200 and get("/" + asset).status_code == 404
        sent = get("/pfx", Host="localhost:5000")
        assert sent.status_code == 308 and sent.headers["location"] == "http://localhost:5000/pfx/"
        # The peer is 127.0.0.1, which is trusted by default.
        sent = get("/pfx", **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ml.example",
                              "X-Forwarded-Prefix": "/team"})
        assert sent.headers["location"] == "https://ml.example/team/pfx/"
    with Sluice(database, args=["--ui-dir", ui_dir, "--static-prefix", "/pfx", "--trusted-proxies", ""]) as server:
        sent = get("/pfx", Host="localhost:5000", **{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"})
        assert sent.headers["location"] == "http://localhost:5000/pfx/"


def test_without_a_folder_there_are_no_such_paths(database):
    with Sluice(database) as server:
        for path in ("/", "/static-files/favicon.ico"):
            answer = requests.get(server.url + path, timeout=30)
            assert answer.status_code == 404 and answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


@pytest.mark.parametrize("what", ["missing", "empty"])
def test_a_folder_without_a_page_stops_the_start(tmp_path, what):
    (tmp_path / "empty").mkdir()
    found = subprocess.run([os.path.abspath(BINARY), "serve", "--listen", "127.0.0.1:0", "--data-dir",
                            str(tmp_path / "data"), "--ui-dir", str(tmp_path / what)], timeout=60,
                           capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert found.returncode != 0 and "setting ui_dir" in found.stderr


def test_ui_fetch_leaves_what_is_there(ui_dir):
    found = subprocess.run([os.path.abspath(BINARY), "ui-fetch", ui_dir], timeout=60, capture_output=True,
                           text=True, check=False)
    assert found.returncode != 0 and "is there already" in found.stderr
