"""DATABASE_URL: what it may say, and what it means, the same to the server, to migrations and to commands."""

import os
import re
from typing import Any

from sqlalchemy import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

_SEVERAL_HOSTS = re.compile(
    r"(?P<before>postgresql(?:\+\w+)?://(?:[^/@]*@)?)(?P<hosts>[^/@?,]+(?:,[^/@?,]+)+)(?P<after>(?:[/?].*)?)"
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>[0-9]*))?")
_OURS = frozenset({"client_encoding", "replication"})
"""What libpq knows, and is not for a URL to say: texts are UTF-8, and statements are ordinary ones."""

CONNECTION_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
"""Given to libpq where the URL does not: a host that is gone or stands still is left within so many seconds (the last
in milliseconds); https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS."""


def normalise_url(url: str) -> URL:
    """The URL as users write it, with the driver this server uses.

    ``sqlite:///file`` and ``postgresql://…`` (or ``postgres://…``, with several hosts too) work unchanged; what libpq
    knows may stand behind ``?``. Raises ``ValueError`` for another database, for what would be ignored, and for SQLite
    in memory, which several connections cannot share.
    """
    if url.startswith("postgres://"):
        url = url.replace("postgres://", "postgresql://", 1)
    hosts: dict[str, str] = {}
    if (match := _SEVERAL_HOSTS.fullmatch(url)) is not None and ":" in match["hosts"]:
        # libpq's own form; SQLAlchemy wants hosts and ports in the query
        pairs = [_host_and_port(host) for host in match["hosts"].split(",")]
        hosts = {"host": ",".join(host for host, _ in pairs), "port": ",".join(port for _, port in pairs)}
        url = match["before"] + match["after"]
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("DATABASE_URL is no URL: use sqlite:///… or postgresql://…") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or ":memory:" in parsed.database:
            raise ValueError("DATABASE_URL: SQLite needs a file, e.g. sqlite:///./tandem.db")
        if parsed.query:
            raise ValueError(f"DATABASE_URL: SQLite takes no {', '.join(sorted(parsed.query))} here: leave out the ?…")
        return parsed.set(drivername="sqlite")
    if backend == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        _refuse_unknown(parsed)
        options = parsed.query.get("options")
        if isinstance(options, tuple):  # as in libpq's own, all of them count
            parsed = parsed.update_query_dict({"options": " ".join(options)})
        return parsed.update_query_dict(hosts)
    raise ValueError(f"DATABASE_URL: {backend} is not supported; use sqlite:///… or postgresql://…")


def connect_arguments(url: URL, dialect: Dialect) -> dict[str, Any]:
    """What psycopg's ``connect`` is given for a URL of PostgreSQL. Of several hosts, only the primary will do."""
    given = dialect.create_connect_args(url)[1]
    arguments: dict[str, Any] = {**CONNECTION_DEFAULTS, **given}
    if "PGCONNECT_TIMEOUT" in os.environ and "connect_timeout" not in given:
        del arguments["connect_timeout"]
    if "," in str(given.get("host", "")) and "PGTARGETSESSIONATTRS" not in os.environ:
        arguments.setdefault("target_session_attrs", "primary")
    return arguments


def _host_and_port(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("DATABASE_URL is no URL: use sqlite:///… or postgresql://…")
    return match["host"].strip("[]"), match["port"] or "5432"


def _refuse_unknown(url: URL) -> None:
    from psycopg.pq import Conninfo  # the driver takes 90 ms and 8 MB to import

    known = {option.keyword.decode() for option in Conninfo.get_defaults()} - _OURS
    if unknown := sorted(url.query.keys() - known):
        raise ValueError(f"DATABASE_URL: PostgreSQL's connections have no {', '.join(unknown)} that could be set here")
