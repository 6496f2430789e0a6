"""A real Chromium, headless, driven over its DevTools pipe.

    with Browser(folder) as browser:
        page = browser.open("http://127.0.0.1:5000/")
        page.wait_for("document.title === 'MLflow'", 30)
        page.text(), page.evaluate("..."), page.screenshot("name")
        page.requests      what it has asked for: [(method, url, status)]

--remote-debugging-pipe speaks JSON on descriptors 3 and 4, each message ended by a NUL, so neither a driver
nor a WebSocket is needed. The browser has a profile of its own and is ended by its process id.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-features=Translate,OptimizationHints,MediaRouter", "--metrics-recording-only",
         "--disable-default-apps", "--hide-scrollbars", "--window-size=1500,1000",
         "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
         "--remote-debugging-pipe"]


class BrowserError(AssertionError):
    """The browser, or the page in it, has said no."""


class Browser:
    def __init__(self, folder=None):
        self.folder = folder
        self.profile = tempfile.mkdtemp(prefix="chromium-")
        self.process = None
        self.to = self.out = None
        self.number = 0
        self.buffer = b""
        self.pages = {}

    def __enter__(self):
        program = next((shutil.which(p) for p in PROGRAMS if shutil.which(p)), None)
        if program is None:
            raise BrowserError("no Chromium is installed")
        their_in, self.to = os.pipe()
        self.out, their_out = os.pipe()

        def on_3_and_4():
            os.dup2(their_in, 3)
            os.dup2(their_out, 4)

        # Above 4, so that dup2 in the child does not close one that it still needs.
        their_in, their_out = (_above(fd) for fd in (their_in, their_out))
        self.to, self.out = _above(self.to), _above(self.out)
        with open(os.path.join(self.profile, "output"), "wb") as log:
            self.process = subprocess.Popen(
                [program, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, pass_fds=(3, 4, their_in, their_out), preexec_fn=on_3_and_4,
                start_new_session=True, env={**os.environ, "HOME": self.profile})
        os.close(their_in)
        os.close(their_out)
        self.call("Browser.getVersion", limit_s=60)
        return self

    def __exit__(self, *unused):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # its own session: it and its helpers
            except ProcessLookupError:
                pass
            self.process.wait(timeout=30)
        for fd in (self.to, self.out):
            if fd is not None:
                os.close(fd)
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, url):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self.pages[session] = page
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(domain + ".enable")
        page.go(url)
        return page

    def call(self, method, session=None, limit_s=60, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + limit_s
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]

    def listen(self, moment_s):
        """Takes in what it tells of its own accord, for so long."""
        deadline = time.monotonic() + moment_s
        while time.monotonic() < deadline:
            try:
                self._next(deadline, "events")
            except BrowserError:
                return

    def _next(self, deadline, what):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.out], [], [], left)[0]:
                raise BrowserError(f"no answer to {what} in time")
            got = os.read(self.out, 1 << 20)
            if not got:
                raise BrowserError(f"Chromium has ended: {self.output()}")
            self.buffer += got
        one, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(one)
        if page := self.pages.get(message.get("sessionId")):
            page.note(message)
        return message

    def output(self):
        with open(os.path.join(self.profile, "output"), encoding="utf-8", errors="replace") as f:
            return f.read()[-2000:]


def _above(fd):
    """The same pipe at a descriptor beyond those that the browser takes."""
    if fd > 4:
        return fd
    other = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return other


class Page:
    def __init__(self, browser, session):
        self.browser = browser
        self.session = session
        self.asked = {}
        self.requests = []
        self.errors = []  # exceptions that nobody caught

    def call(self, method, **params):
        return self.browser.call(method, session=self.session, **params)

    def note(self, message):
        params = message.get("params", {})
        method = message.get("method")
        if method == "Network.requestWillBeSent":
            self.asked[params["requestId"]] = (params["request"]["method"], params["request"]["url"])
        elif method == "Network.responseReceived" and params["requestId"] in self.asked:
            self.requests.append((*self.asked[params["requestId"]], params["response"]["status"]))
        elif method == "Network.loadingFailed" and params["requestId"] in self.asked \
                and not params.get("canceled"):
            self.requests.append((*self.asked[params["requestId"]], params["errorText"]))
        elif method == "Runtime.exceptionThrown":
            detail = params["exceptionDetails"]
            self.errors.append(detail.get("exception", {}).get("description") or detail["text"])

    def go(self, url):
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(found["exceptionDetails"]["exception"].get("description", "?"))
        return found["result"].get("value")

    def text(self):
        """All that a reader of the page sees."""
        return self.evaluate("document.body ? document.body.innerText : ''")

    def wait_for(self, expression, limit_s, what=None):
        """Polls until the expression is true and returns what it gave."""
        deadline = time.monotonic() + limit_s
        while True:
            if found := self._look(expression):
                return found
            if time.monotonic() > deadline:
                raise BrowserError(f"not within {limit_s} s: {what or expression}\n"
                                   f"errors {self.errors}\n{self.text()[:3000]}")
            self.browser.listen(0.1)

    def _look(self, expression):
        """Its value; nothing while the page is being left for another."""
        try:
            return self.evaluate(expression)
        except BrowserError as error:
            if "context" not in str(error):
                raise
            return None

    def wait_for_text(self, *words, limit_s=60):
        self.wait_for(f"{json.dumps(words)}.every(w => document.body?.innerText.includes(w))", limit_s,
                      f"the page shows {words}")
        return self.text()

    def screenshot(self, name):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path = os.path.join(self.browser.folder, name + ".png")
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
        return path
