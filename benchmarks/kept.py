"""Data sets kept in a folder, so that another run need not make them: SQLite's file, or what PostgreSQL's COPY writes.

A kept one is used for as long as everything that makes it is as it was.
"""

import hashlib
import shutil
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from benchmarks import bulk, data
from benchmarks.rows import CALLER_ID, USUAL, Shape
from db.models import Base

MAKERS = ("benchmarks/rows.py", "benchmarks/data.py", "benchmarks/bulk.py", "db/migrations/versions/*.py")


def make(url: str, tasks: int, shape: Shape, folder: Path | None) -> data.Dataset:
    """As ``bulk.make``; what is kept in the folder is taken from there, what is not is put there."""
    if folder is None:
        return bulk.make(url, tasks, shape)
    place = path(url, tasks, shape, folder)
    if place.exists():
        _load(url, place)
        return data.Dataset(user_id=CALLER_ID, session_id=1, project_id=1)
    dataset = bulk.make(url, tasks, shape)
    _save(url, place)
    return dataset


def path(url: str, tasks: int, shape: Shape, folder: Path) -> Path:
    """Where a data set is kept, or would be."""
    digest = hashlib.sha256()
    for pattern in MAKERS:
        for file in sorted(data.ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    like = "" if shape == USUAL else f"-{shape.projects}-{shape.open_percent}"
    return folder / f"{make_url(url).get_backend_name()}-{tasks}{like}-{digest.hexdigest()[:8]}"


def _save(url: str, place: Path) -> None:
    unfinished = place.with_name(f"{place.name}.unfinished")
    place.parent.mkdir(parents=True, exist_ok=True)
    if make_url(url).get_backend_name() == "sqlite":
        shutil.copyfile(make_url(url).database or "", unfinished)
    else:
        unfinished.mkdir(exist_ok=True)
        with psycopg.connect(url) as connection:
            for table in Base.metadata.tables:
                command = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(table))
                with connection.cursor().copy(command) as copy, (unfinished / table).open("wb") as file:
                    file.writelines(copy)
    unfinished.rename(place)


def _load(url: str, place: Path) -> None:
    if make_url(url).get_backend_name() == "sqlite":
        shutil.copyfile(place, make_url(url).database or "")
        return
    with bulk.without_indexes(url) as connection:
        for table in Base.metadata.tables:
            command = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(table))
            with connection.cursor().copy(command) as copy, (place / table).open("rb") as file:
                while block := file.read(1 << 20):
                    copy.write(block)
    with data.connect(url) as connection:
        data.finish(connection)
    bulk.analyze(url)
