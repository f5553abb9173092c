"""Gunicorn supervising uvicorn workers. From the environment: HOST, PORT, WORKERS, FORWARDED_ALLOW_IPS.

The application is imported once, before the workers are forked: they share what it takes (two thirds of their memory),
and a new one answers at once. It opens nothing until it is asked for something. New code needs a new master (USR2).

With PROMETHEUS_MULTIPROC_DIR, whichever worker is asked for the metrics answers for all (docs/deployment.md).
"""

import os
from pathlib import Path
from typing import Any, ClassVar

import uuid_utils
from prometheus_client.multiprocess import mark_process_dead
from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    """The options that `make run` gives to uvicorn on its command line, and gunicorn has no setting for."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "server_header": False,
        "timeout_graceful_shutdown": 10,  # an open event stream would hold the worker for ever
        "ws": "api.server.sockets:SocketProtocol",
    }


def _number(name: str, default: int, most: int) -> int:
    given = os.environ.get(name) or str(default)
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= most):
        raise SystemExit(f"{name} must be a number from 1 to {most}")
    return int(given)


host = os.environ.get("HOST") or "127.0.0.1"
bind = f"{f'[{host}]' if ':' in host else host}:{_number('PORT', 8000, 65_535)}"
workers = _number("WORKERS", 1, 1_000)
worker_class = Worker
preload_app = True

timeout = 30  # a worker whose event loop stands still for so long is replaced
graceful_timeout = 15  # longer than the worker's own 10 s, so that it ends by itself
keepalive = 75  # longer than the idle timeout of the usual proxies (60 s), which must be the ones to hang up

# The file system may be read-only and the user has no home: nothing here writes to either.
control_socket_disable = True
if Path("/dev/shm").is_dir():  # noqa: S108  the heartbeat file, in memory: a slow disk must not look like a dead worker
    worker_tmp_dir = "/dev/shm"  # noqa: S108

_metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def on_starting(server: Any) -> None:
    """Begin with an empty folder, lest files of all the workers that ever were are added up."""
    if _metrics and not server.master_pid:  # the one that this one takes over from (USR2) still counts
        Path(_metrics).mkdir(parents=True, exist_ok=True)
        for file in Path(_metrics).glob("*.db"):
            file.unlink()


def post_fork(_server: Any, _worker: Any) -> None:
    """No two workers may go on with the same random numbers."""
    uuid_utils.reseed_rng()


def child_exit(_server: Any, worker: Any) -> None:
    """What a worker held, such as its memory and followers, ends with it; what it counted stays."""
    if _metrics:
        mark_process_dead(worker.pid)
