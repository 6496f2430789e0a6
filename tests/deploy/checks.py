"""How a deploy suite runs its checks: one after the other, each by its name; a closing line.

    checks.run(CHECKS, options.only, suite)
"""

import sys
import time
import traceback


def run(checks, only, *arguments):
    """Ends the program: 1 when a check failed. only: names; none = all."""
    passed = failed = 0
    for check in checks:
        if only and check.__name__ not in only:
            continue
        begin = time.monotonic()
        try:
            check(*arguments)
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc()
            failed += 1
            verdict = "FAILED"
        else:
            passed += 1
            verdict = "ok"
        print(f"{check.__name__:<10} {verdict} {time.monotonic() - begin:5.1f} s", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
