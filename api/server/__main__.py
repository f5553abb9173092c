"""``python -m api.server``: serve on HOST:PORT, as one process, or with WORKERS > 1 as gunicorn and its workers.

uvicorn has workers of its own, whose parent keeps the socket open while it ends: it takes connections that nobody
answers. gunicorn closes it first.
"""

import os
import sys
from pathlib import Path

import uvicorn

from api.server.options import OPTIONS, host, port, workers
from api.server.server import Server

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    if workers() > 1:
        command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "api.main:app"]
        os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    config = uvicorn.Config("api.main:app", host=host(), port=port(), **OPTIONS)
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
