"""What the documents' commands stand for when they are run, and which are not.

Everything in a shell or Python block of README.md, CONTRIBUTING.md and docs/ is run, page by page, in order, unless a
row of NOT_RUN fits. Placeholders of a page (an address, a password, a path of a real host) are replaced as
PAGES says, in the order given; ports 5000, 5001 and 5005 of 127.0.0.1 by free ones, on all pages.
"""

import re

# Rows: pages (a glob), a regular expression that fits the beginning of a command, why it is not run, and the
# test that does the same thing: a file, or a file and words that stand in it.
NOT_RUN = [
    ("*", r"make test\b|make check-docs", "this test is a part of it", "tests/run.py::docs"),
    ("docs/benchmarks.md", r"make bench|build/venv/bin/python tests/bench/", "it measures, for minutes", "tests/bench/bench.py"),
    ("docs/performance.md", r"make (flames|bench-growth)|build/venv/bin/python tests/bench/", "it measures, for minutes", "tests/bench/flames.py"),
    ("docs/scaling.md", r"build/venv/bin/python tests/bench/scale.py", "it measures, for minutes", "tests/bench/scale.py"),
    ("docs/loadtest.md", r"make( |$)", "built before this test begins", "tests/run.py"),
    ("docs/loadtest.md", r"build/sluice-loadtest loadtest/scenarios/thousand-jobs.conf", "a thousand connections for a minute",
     "tests/load/run.py"),
    ("docs/install.md", r"make deb|make install", "makes a package", "tests/deploy/run.py::make"),
    ("docs/install.md", r"apt |apt-get |systemctl |systemd-", "root on a real host, with systemd", "tests/deploy/run.py::systemd"),
    ("docs/install.md", r"docker compose", "a daemon, and images of others", "tests/deploy/compose.py"),
    ("docs/install.md", r"make image|skopeo |podman ", "takes minutes, and a registry", "tests/deploy/run.py::image"),
    ("docs/*", r"(helm|kubectl|kustomize|kind|aliyun|aws|kubeseal) ", "a cluster", "tests/deploy/in_cluster.py"),
    ("README.md", r"sluice serve --queue kafka", "three brokers", "tests/pods/run.py"),
    ("docs/scaling.md", r"sluice serve --redis-uri", "Redis with TLS", "tests/pods/redis_pods.py"),
    ("docs/artifacts.md", r"AWS_ACCESS_KEY_ID=\S+ AWS_SECRET_ACCESS_KEY=\S+ sluice serve", "an S3 server", "tests/api/test_artifacts.py::S3"),
    ("docs/quickstart.md", r"build/sluice ui-fetch", "fetches 30 MB", "tests/ui"),
    ("docs/proxy.md", r"mlflow server|build/sluice serve --upstream", "a stock server for each page takes too long",
     "tests/api/test_proxy_stock.py"),
    ("docs/migrate.md", r"mlflow db upgrade", "of a release before this one", "tests/api/test_schema.py"),
    ("docs/migrate.md", r"sluice serve .*--upstream", "a stock server for each page takes too long", "tests/api/test_proxy_stock.py"),
]

# Commands whose exit code says something else than success, and which: page, beginning, code.
EXIT_CODES = [
    ("docs/operations.md", r"sluice deadletter retry", 1),  # the run is still gone
]

# Words that begin a line of a block, fenced or indented, that is therefore taken for commands.
COMMANDS = re.compile(r"(?:[A-Z_]+=\S* )*(?:\$ )?(?:sluice|sluice-loadtest|build/\S+|make|mlflow|python3?|pip|psql|curl|export|helm|kubectl|apt|apt-get|"
                      r"systemctl|systemd-\S+|docker|podman|skopeo|kill|sudo|cd|git|openssl|htpasswd|tests/\S+)(?: |$)")

# What `make run` does when everything is installed and built.
MAKE_RUN = "build/sluice serve --data-dir ./var"
EXAMPLES = [("python examples/digits.py", "python examples/digits.py --runs 2 --epochs 1")]
REMOTE = [("postgresql://mlflow:password@db/mlflow", "{pg_uri}"),
          ("/var/lib/sluice", "{data_dir}"), ("/srv/mlartifacts", "{folder}/mlartifacts")]


class Page:
    """How a page is run. serves: a server with these flags is there before the first command. letter: and a dead letter,
    of {run} and {letter}. database: {pg_uri} is a database with MLflow's schema. files: made in the page's folder."""

    def __init__(self, serves=None, letter=False, database=False, replace=(), files=None):
        self.serves, self.letter, self.database = serves is not None, letter, database
        self.settings = f"sluice serve {serves}"
        self.replace, self.files = list(replace), files or {}


PAGES = {
    "README.md": Page(replace=[("make run     #", MAKE_RUN + " #"),
                               ("mlflow server ", "mlflow server --workers 1 "), *EXAMPLES]),
    "docs/quickstart.md": Page(replace=[("make run", MAKE_RUN), ("./ui", "{root}/build/ui/files")]),
    "docs/migrate.md": Page(database=True, replace=[*REMOTE, *EXAMPLES]),
    "docs/gc.md": Page(serves="", replace=[("/etc/sluice/sluice.conf", "sluice.conf")],
                       files={"sluice.conf": "data_dir = {data_dir}\nartifacts_destination = {folder}\n"}),
    "docs/operations.md": Page(serves="--flush-interval 1s", letter=True, replace=[(" RUN", " {run}"), (" ID", " {letter}")]),
    "docs/artifacts.md": Page(replace=[("/srv/mlflow", "{folder}")]),
    "docs/auth.md": Page(replace=[("MLFLOW_FLASK_SERVER_SECRET_KEY=...", "MLFLOW_FLASK_SERVER_SECRET_KEY=of-the-tests"),
                                  ("MLFLOW_AUTH_ADMIN_PASSWORD=...", "MLFLOW_AUTH_ADMIN_PASSWORD=of-the-tests-too")]),
    "docs/install.md": Page(replace=[("/etc/sluice/sluice.conf", "sluice.conf")],
                            files={"sluice.conf": "data_dir = {data_dir}\n"}),
    "docs/loadtest.md": Page(serves="", replace=[("--duration 30s", "--duration 2s"), ("--rate 2000 --jobs 200", "--rate 200 --jobs 20"),
                                                   ("--fail-if 'p99 > 5ms' ", "")]),
    "docs/protocol.md": Page(serves=""),
    "docs/scaling.md": Page(database=True, replace=[("--pg-uri ...", "--pg-uri '{pg_uri}' --unseen"), ("adopt DIR", "adopt {journal}")]),
    "docs/security.md": Page(replace=[("0.0.0.0:5000", "127.0.0.1:5000"), ("tls.crt", "{certificate}"), ("tls.key", "{key}"),
                                      ("ca.crt", "{certificate}"), ("https://host:5000", "https://localhost:5000")]),
}
