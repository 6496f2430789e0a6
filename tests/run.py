#!/usr/bin/env python3
"""Runs the suites, shows what each prints, adds up their counts.

    tests/run.py [lint] [unit] [fuzz] [wire] [api] [hostile] [conform] [conform-full] [workspaces] [edge] [ui]
                 [crash] [crash-asan] [states] [fault] [fault-long] [load] [pods] [pods-long]
                 [deploy] [deploy-clean] [chart] [chart-tools] [compose] [cluster] [acceptance] [docs]
                 [tsan] [valgrind]

Each suite stays a program of its own that can be run alone; this one only starts them in order
and reads the numbers they print: cmocka's `[  PASSED  ] N test(s)`, pytest's last line, and
`N passed, N failed` of the others. A program that dies, hangs or prints no count has failed once.
The last line is the sum, `N passed, N failed`, and the exit code is 0 only when nothing failed.
Standard library only, so that lint, unit, fuzz and wire need no Python environment.
"""

import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, "build/venv/bin/python")
RELEASE = os.path.join(ROOT, "build/sluice")
SANITIZED = os.path.join(ROOT, "build/asan/sluice")

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite", "--track-fds=no", "--child-silent-after-fork=yes",
            "--suppressions=tests/tools/valgrind.supp"]
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def run(command, limit_s, env=None):
    """Runs one program in its own session; returns (exit code, its output), shown as it comes."""
    environment = dict(os.environ, **SANITIZERS, **(env or {}))
    process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, errors="replace",
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)

    def expire():
        print(f"{command[0]}: still running after {limit_s} s: killed", flush=True)
        os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit_s, expire)
    timer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    code = process.wait()
    timer.cancel()
    return code, "".join(lines)


def judge(code, passed, failed, what):
    """A program that ends badly without having counted a failure has failed once."""
    if failed == 0 and (code != 0 or passed == 0):
        print(f"{what}: exit code {code} and {passed} passed: counts as one failure", flush=True)
        failed = 1
    return passed, failed


def counted(command, limit_s, env=None):
    """A suite whose last `N passed, N failed` line counts."""
    if not os.path.exists(command[1]):
        print(f"{command[1]} is missing")
        return 0, 1
    code, output = run(command, limit_s, env)
    found = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, found[-1]) if found else (0, 0)
    return judge(code, passed, failed, command[1])


def cmocka(folder, below=(), limit_s=120):
    """The unit tests of one build variant, below another program if need be."""
    passed = failed = 0
    sources = sorted(glob.glob(os.path.join(ROOT, "tests/unit/test_*.c")))
    names = [os.path.basename(s)[:-2] for s in sources]
    binaries = [os.path.join(ROOT, folder, n) for n in names]
    if folder.endswith("tsan/unit"):
        binaries = [b for b in binaries if os.path.exists(b)]
    for binary in binaries:
        if not os.path.exists(binary):
            print(f"{binary} was not built")
            failed += 1
            continue
        code, output = run([*below, binary], limit_s)
        good = sum(map(int, re.findall(r"\[  PASSED  \] (\d+) test", output)))
        bad = sum(map(int, re.findall(r"\[  FAILED  \] (\d+) test", output)))
        good, bad = judge(code, good, bad, os.path.basename(binary))
        passed += good
        failed += bad
    return (passed, failed) if binaries else (0, 1)


def pytest(binary, limit_s, *paths):
    command = [VENV, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=5", *paths]
    code, output = run(command, limit_s, {"SLUICE_TEST_BINARY": binary})
    last = (output.strip().splitlines() or [""])[-1]
    count = {w: int(n) for n, w in re.findall(r"(\d+) (passed|failed|error)", last)}
    return judge(code, count.get("passed", 0), count.get("failed", 0) + count.get("error", 0),
                 paths[0])


# They wait for hashes, other servers and processes more than they compute: a lane of their own.
WAITING = ("auth", "permissions", "proxy", "artifacts", "model_scripts", "tls", "private_cluster", "digits",
           "s3_")


def api():
    """Two lanes side by side, each with a PostgreSQL of its own: half of the time is waiting."""
    files = sorted(glob.glob("tests/api/test_*.py"))
    waiting = [f for f in files if os.path.basename(f)[5:].startswith(WAITING)]
    lanes = [waiting, [f for f in files if f not in waiting]]
    with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
        return added(*pool.map(lambda lane: pytest(SANITIZED, 2700, *lane), lanes))


def added(*counts):
    return sum(passed for passed, _ in counts), sum(failed for _, failed in counts)


def tsan():
    """The files with two threads, then the whole program: parallel clients, restarts, streams of
    batches, searches in parts, and the load of the crash suite with its kills and its drain."""
    program = os.path.join(ROOT, "build/tsan/sluice")
    return added(cmocka("build/tsan/unit"),
                 pytest(program, 1800, "tests/api/test_client.py", "tests/api/test_restart.py",
                        "tests/api/test_msgpack.py", "tests/api/test_stream.py",
                        # The memory of the one would be ThreadSanitizer's; the other's third
                        # reader finds no session within sql_timeout when all is ten times slower.
                        "-k", "not costs_little_memory and not a_paused_reader"),
                 counted([VENV, "tests/crash/run.py", program, "--kills", "2", "--only", "kills",
                          "--only", "points", "--only", "drain", "--only", "postgres"], 1200))


def valgrind():
    """What AddressSanitizer does not see: bytes that nobody wrote. The unit tests, and a part of the
    api suite, with the program as it is shipped but for its allocator."""
    unit = cmocka("build/memcheck/unit", VALGRIND, 600)
    whole = pytest(os.path.join(ROOT, "tests/tools/sluice-valgrind"), 1800,
                   "tests/api/test_client.py", "tests/api/test_restart.py")
    return added(unit, whole)


def conform(requests, limit_s, *more):
    """The corpus and so many random requests, side by side with a stock server."""
    return counted([VENV, "tests/conform/run.py", "--full", "--lanes", "2", "--random",
                    str(requests), *more], limit_s, {"SLUICE_TEST_BINARY": SANITIZED})


SUITES = {
    "lint": lambda: counted([sys.executable, "tests/lint/lint.py"], 120),
    "unit": lambda: cmocka("build/asan/unit"),
    "fuzz": lambda: counted([sys.executable, "tests/fuzz/run.py", "replay"], 300),
    "wire": lambda: counted([sys.executable, "tests/wire/run.py", SANITIZED], 300),
    "api": api,
    # One seed, so that a run of today and one of next year test the same; the full one looks on.
    "conform": lambda: conform(2000, 1200, "--seed", "1"),
    "workspaces": lambda: counted([VENV, "tests/conform/run.py", "--workspaces"], 600,
                                  {"SLUICE_TEST_BINARY": SANITIZED}),
    "edge": lambda: counted([VENV, "tests/conform/edge.py"], 900,
                            {"SLUICE_TEST_BINARY": SANITIZED}),
    "ui": lambda: pytest(SANITIZED, 900, "tests/ui"),
    "conform-full": lambda: conform(20000, 7200),
    "hostile": lambda: pytest(SANITIZED, 1200, "tests/hostile"),
    "crash": lambda: counted([VENV, "tests/crash/run.py", RELEASE], 1500),
    "states": lambda: counted([VENV, "tests/crash/states.py"], 900),
    "load": lambda: counted([VENV, "tests/load/run.py", RELEASE], 900),
    "crash-asan": lambda: counted([VENV, "tests/crash/run.py", SANITIZED, "--kills", "8"], 1800),
    "fault": lambda: counted([VENV, "tests/fault/run.py", RELEASE], 1200),
    "fault-long": lambda: counted([VENV, "tests/fault/run.py", RELEASE, "--long"], 7200),
    "pods": lambda: added(counted([VENV, "tests/pods/run.py", RELEASE], 1500),
                          counted([VENV, "tests/pods/redis_pods.py", RELEASE], 900)),
    "pods-long": lambda: counted([VENV, "tests/pods/run.py", RELEASE, "--long"], 7200),
    "deploy": lambda: counted([VENV, "tests/deploy/run.py"], 300),
    "chart": lambda: counted([os.path.join(ROOT, "build/kube/venv/bin/python"), "tests/deploy/chart.py"], 300),
    "docs": lambda: counted([VENV, "tests/docs/run.py"], 600, {"SLUICE_TEST_BINARY": RELEASE}),
    "chart-tools": lambda: counted([os.path.join(ROOT, "build/kube/venv/bin/python"), "tests/deploy/chart.py",
                                    "--tools"], 600),
    "compose": lambda: counted([VENV, "tests/deploy/compose.py"], 600),
    "cluster": lambda: counted([VENV, "tests/deploy/in_cluster.py"], 1800),
    "acceptance": lambda: counted([VENV, "tests/deploy/acceptance.py"], 1800),
    "deploy-clean": lambda: counted([VENV, "tests/deploy/run.py", "--clean"], 1200),
    "tsan": tsan,
    "valgrind": valgrind,
}


def main():
    os.chdir(ROOT)
    wanted = sys.argv[1:] or ["lint", "unit", "fuzz", "wire", "api", "hostile", "conform", "workspaces", "edge",
                              "ui", "crash", "states", "fault", "load", "pods", "deploy", "chart",
                              "compose", "docs"]
    unknown = [w for w in wanted if w not in SUITES]
    if unknown:
        sys.exit(f"unknown suite {unknown[0]}; there are {', '.join(SUITES)}")
    rows = []
    for name in wanted:
        print(f"\n=== {name}", flush=True)
        start = time.monotonic()
        passed, failed = SUITES[name]()
        rows.append((name, passed, failed, time.monotonic() - start))
    print(f"\n{'suite':<12}{'passed':>8}{'failed':>8}{'seconds':>9}")
    for name, passed, failed, seconds in rows:
        print(f"{name:<12}{passed:>8}{failed:>8}{seconds:>9.1f}")
    failed = sum(r[2] for r in rows)
    print(f"\n{sum(r[1] for r in rows)} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
