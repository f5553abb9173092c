"""Walk the migrations on scratch databases: up, compare with the models, down, and up again.

`python -m tools.migration_check`. On SQLite always; on PostgreSQL where the tests would find one, and a lack
of it fails where TANDEM_REQUIRE names it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.infrastructure import SERVICES, postgres_server, required, scratch_database

STEPS = (("upgrade", "head"), ("check",), ("downgrade", "base"), ("upgrade", "head"))


def walk(name: str, url: str) -> bool:
    """Whether every step succeeds on an empty database; the first that does not shows its output."""
    for step in STEPS:
        command = [sys.executable, "-m", "alembic", *step]
        done = subprocess.run(command, env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True)
        if done.returncode:
            print(f"{name}: alembic {' '.join(step)} failed\n{done.stdout}{done.stderr}", file=sys.stderr)
            return False
    print(f"{name}: migrations go up, match the models, go down and up again")
    return True


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        good = walk("SQLite", f"sqlite:///{Path(directory) / 'scratch.db'}")
    with postgres_server() as server:
        if server:
            with scratch_database(server) as url:
                good &= walk("PostgreSQL", url)
        else:
            print(f"PostgreSQL: migrations NOT CHECKED, {SERVICES['postgresql'].lacking}", file=sys.stderr)
            good &= "postgresql" not in required()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
