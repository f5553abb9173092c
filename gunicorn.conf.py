"""Gunicorn supervising uvicorn workers. From the environment: HOST, PORT, WORKERS, FORWARDED_ALLOW_IPS.

The application is imported once, before the workers are forked: they share what it takes (two thirds of their memory),
and a new one answers at once. It opens nothing until it is asked for something. New code needs a new master (USR2).

With PROMETHEUS_MULTIPROC_DIR, whichever worker is asked for the metrics answers for all (docs/deployment.md).
"""

import logging
import os
import sys
import time
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import uuid_utils
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from prometheus_client.multiprocess import mark_process_dead
from uvicorn_worker import UvicornWorker

# its command knows no folder but its own when it reads this, wherever --chdir leads
sys.path.insert(0, str(Path(__file__).resolve().parent))

from api.server import collector, options
from api.server.listening import SETTLE_SECONDS, refuse_new
from api.server.server import NOTIFY_SECONDS, Server
from api.startup import address, places, require_address, require_metrics_folder, settings_or_exit
from core import logs
from core.settings import get_settings


class OneFormat(Logger):
    """gunicorn's lines as ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        settings = settings_or_exit()
        logs.configure(settings.log_level, settings.log_format)


class Worker(UvicornWorker):
    """uvicorn's, with our options and our server."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        **options.OPTIONS,
        # signs of life, several in the time that is waited for one; uvicorn-worker's way would be two
        "timeout_notify": NOTIFY_SECONDS,
    }

    async def _serve(self) -> None:
        """As uvicorn-worker's, but for the class of the server: the socket is that of all workers."""
        self.config.app = self.wsgi
        server = Server(self.config, alone=False)
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


logger_class = OneFormat
collector.rest()  # until the application is made, which the workers are forked from

host = options.host()
bind = f"{f'[{host}]' if ':' in host else host}:{options.port()}"
workers = options.workers()
worker_class = Worker
preload_app = True

timeout = 30  # a worker whose event loop stands still for so long is replaced
graceful_timeout = 15  # longer than the worker's own 10 s, so that it ends by itself
keepalive = options.KEEP_ALIVE_SECONDS
backlog = options.BACKLOG

# The file system may be read-only and the user has no home: nothing here writes to either.
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108  the heartbeat file, in memory: a slow disk must not look like a dead worker
    worker_tmp_dir = "/dev/shm"  # noqa: S108

_metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def on_starting(server: Any) -> None:
    """Begin with an empty folder, lest files of all the workers that ever were are added up."""
    if not (server.master_pid or {"GUNICORN_FD", "LISTEN_FDS"} & os.environ.keys()):  # no socket is handed over
        require_address(host, options.port())
    require_metrics_folder()
    if _metrics and not server.master_pid:  # the one that this one takes over from (USR2) still counts
        for file in Path(_metrics).glob("*.db"):
            file.unlink()


def when_ready(server: Any) -> None:
    """End with care, once there is something to end."""
    server.stop = _stopping(server)
    for line in places(get_settings(), address(host, options.port())):
        logging.getLogger("tandem.server").info(line)


def _stopping(server: Any) -> Any:
    """gunicorn's way to end, before which the socket takes nobody new: those who were there shall be answered.

    Not where another master goes on with the same socket (USR2), or whoever started this one does.
    """
    stop = server.stop

    def stop_gently(graceful: bool = True) -> None:
        if graceful and not (server.reexec_pid or server.master_pid or server.systemd):
            refuse_new(listener.sock for listener in server.LISTENERS)
            time.sleep(SETTLE_SECONDS)
        # a worker goes on for so long before it ends
        server.cfg.set("graceful_timeout", graceful_timeout + ceil(get_settings().shutdown_delay_seconds))
        stop(graceful)

    return stop_gently


def post_fork(_server: Any, _worker: Any) -> None:
    """No two workers may go on with the same random numbers."""
    uuid_utils.reseed_rng()


def child_exit(_server: Any, worker: Any) -> None:
    """What a worker held, such as its memory and followers, ends with it; what it counted stays."""
    if _metrics:
        mark_process_dead(worker.pid)
