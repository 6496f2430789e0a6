#!/usr/bin/env python3
"""The fuzz targets: their corpora replayed, or a search for new inputs.

    tests/fuzz/run.py replay               every corpus through build/asan/fuzz/* (make test)
    tests/fuzz/run.py fuzz SECONDS [TARGET]   libFuzzer, build/fuzz/bin/* (make fuzz)
    tests/fuzz/run.py minimise [TARGET]    corpora rewritten to the inputs that are worth keeping

Fuzzing takes SECONDS in all, an equal share for each target; what it learns stays in
build/fuzz/learned, so that the next run goes on from there, and an input that breaks something lies
in build/fuzz/findings/<target>. Add it to tests/fuzz/corpus/<target> with the fix. The last line is
`N passed, N failed`, of inputs when replaying and of targets when fuzzing. Standard library only.
"""

import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORPUS = "tests/fuzz/corpus"
INPUT_S = 10         # one input that takes longer is a finding; generous, because of sanitizers
MEMORY_MB = 1024
INPUT_BYTES = {"filter": 4096, "http": 8192, "journal": 2048, "literal": 2048, "ids": 512,
               "page_token": 2048, "artifact_uri": 2560}
INPUT_BYTES_ELSE = 8192

ENVIRONMENT = dict(
    os.environ, ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=0:detect_stack_use_after_return=1",
    UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")


def targets():
    names = [os.path.basename(p)[:-2] for p in sorted(glob.glob("tests/fuzz/*.c"))]
    return [n for n in names if n != "replay"]


def run(command):
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def replay():
    passed = failed = 0
    for name in targets():
        code, output = run([f"build/asan/fuzz/{name}", f"{CORPUS}/{name}"])
        found = re.findall(r"^(\d+) passed, 0 failed$", output, re.M)
        if code or not found:
            failed += 1
            print(f"FAIL {name}: exit code {code}\n" + "\n".join(output.splitlines()[-60:]))
            continue
        passed += int(found[-1])
        print(f"ok   {name}: {found[-1]} inputs")
    return passed, failed


def libfuzzer(name, seconds):
    learned, findings = f"build/fuzz/learned/{name}", f"build/fuzz/findings/{name}"
    dictionary = f"tests/fuzz/dictionary/{name}.dict"
    for folder in (learned, findings):
        os.makedirs(folder, exist_ok=True)
    command = [f"build/fuzz/bin/{name}", f"-max_total_time={seconds}", f"-timeout={INPUT_S}",
               f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={findings}/",
               f"-max_len={INPUT_BYTES.get(name, INPUT_BYTES_ELSE)}", "-print_final_stats=1",
               "-verbosity=1", "-use_value_profile=1"]
    if os.path.exists(dictionary):
        command.append(f"-dict={dictionary}")
    return command + [learned, f"{CORPUS}/{name}"]


def fuzz(seconds, wanted):
    names = [wanted] if wanted else targets()
    share = max(1, seconds // len(names))
    failed = 0
    for name in names:
        code, output = run(libfuzzer(name, share))
        runs = re.findall(r"stat::number_of_executed_units: (\d+)", output)
        cover = re.findall(r"cov: (\d+)", output)
        print(f"{'FAIL' if code else 'ok  '} {name}: {share} s, {runs[-1] if runs else '?'} inputs, "
              f"{cover[-1] if cover else '?'} edges", flush=True)
        if code:
            failed += 1
            print("\n".join(x for x in output.splitlines() if x[:1] not in "#\t")[-6000:])
    return len(names) - failed, failed


def minimise(wanted):
    """Keeps the seeds and, of what was learned, small inputs that reach something else."""
    names = [wanted] if wanted else targets()
    for name in names:
        fresh = f"build/fuzz/minimised/{name}"
        shutil.rmtree(fresh, ignore_errors=True)
        os.makedirs(fresh)
        code, output = run([f"build/fuzz/bin/{name}", "-merge=1", "-max_len=1024", "-timeout=10",
                            fresh, f"{CORPUS}/{name}", f"build/fuzz/learned/{name}"])
        sizes = [os.path.getsize(p) for p in glob.glob(fresh + "/*")]
        print(f"{name}: {len(sizes)} inputs, {sum(sizes)} bytes in {fresh}")
        if code:
            print("\n".join(output.splitlines()[-20:]))
    return len(names), 0


def main():
    os.chdir(ROOT)
    what, *more = sys.argv[1:] or ["replay"]
    if what == "fuzz":
        passed, failed = fuzz(int(more[0]), more[1] if len(more) > 1 else None)
    elif what == "minimise":
        passed, failed = minimise(more[0] if more else None)
    else:
        passed, failed = replay()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
