"""``python -m api.server``: serve on HOST:PORT, as one process, or with WORKERS > 1 as gunicorn and its workers.

uvicorn has workers of its own, whose parent keeps the socket open while it ends: it takes connections that nobody
answers. gunicorn closes it first.
"""

import logging
import os
import socket
import sys
from pathlib import Path

import uvicorn

from api.server import collector
from api.server.options import OPTIONS, host, port, workers
from api.server.server import Server
from api.startup import address, places, require_address, settings_or_exit
from core.settings import get_settings

logger = logging.getLogger("tandem.server")

ROOT = Path(__file__).resolve().parent.parent.parent


class ToldServer(Server):
    """Says what is where, once it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for line in places(get_settings(), address(host(), self.servers[0].sockets[0].getsockname()[1])):
                logger.info(line)


USAGE = "python -m api.server takes no arguments: HOST, PORT, WORKERS and settings come from the environment or .env"


def main() -> None:
    if sys.argv[1:]:
        if sys.argv[1:] in (["--help"], ["-h"]):
            sys.stdout.write(f"{USAGE}\n")
            return
        sys.exit(USAGE)
    settings_or_exit()
    require_address(host(), port())
    if workers() > 1:
        command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py"), "api.main:app"]
        os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted
    collector.rest()
    config = uvicorn.Config("api.main:app", host=host(), port=port(), log_config=None, **OPTIONS)
    server = ToldServer(config)
    server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # uvicorn, which has ended by then, raises the signal that it was ended by once more
        sys.exit(130)
