"""`mlflow server` with one worker, in one process.

    stock_server.py server --backend-store-uri ... --port ...

MLflow's command reads its flags, prepares the database, and then starts uvicorn in a second process, which
imports MLflow once more: 3 s of CPU time, which is all there is to a start. Here uvicorn runs in the process
that the command began in; the command, the application and their order are MLflow's.
"""

import os
import sys

import uvicorn


def run_here(command, extra_env=None, **_):
    """In place of mlflow.server._exec_cmd: `python -m uvicorn ARGUMENTS`."""
    os.environ.update(extra_env or {})
    where = command.index("uvicorn") + 1
    sys.exit(uvicorn.main.main(args=command[where:], prog_name="uvicorn", standalone_mode=True))


if __name__ == "__main__":
    import mlflow.server
    from mlflow.cli import cli

    mlflow.server._exec_cmd = run_here
    cli(prog_name="mlflow")
