"""Write `.env` with random secrets, once: `python tools/dotenv_setup.py`. Standard library only.

A `.env` that exists keeps every value it has. Filled in are an empty secret and a missing SECRET_KEY, without
which the server cannot start; a line for API_KEY that was taken out stays out.
"""

import os
import re
import secrets
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BYTES = {"SECRET_KEY": 48, "API_KEY": 32}


def with_secrets(text: str) -> str:
    """The text of a dotenv file, its empty secrets filled in."""
    for name, size in BYTES.items():
        assignment = re.compile(rf"^[ \t]*(?:export[ \t]+)?{name}[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE | re.I)
        found = list(assignment.finditer(text))
        if any(match[1] not in ("", "''", '""') and not match[1].startswith("#") for match in found):
            continue
        line = f"{name}={secrets.token_urlsafe(size)}"
        if found:  # of several lines the last is the one that counts
            text = text[: found[-1].start()] + line + text[found[-1].end() :]
        elif name == "SECRET_KEY":
            text = f"{text.rstrip()}\n{line}\n" if text.strip() else f"{line}\n"
    return text


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner alone."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".env.")  # mkstemp creates with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main() -> int:
    target = (ROOT / ".env").resolve()  # through a symbolic link, not over it
    exists = target.exists()
    before = (target if exists else ROOT / ".env.example").read_text(encoding="utf-8")
    after = with_secrets(before)
    if not exists or after != before:
        write_private(target, after)
        print("Filled in the empty secrets of .env" if exists else "Wrote .env with new random secrets")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UnicodeDecodeError:
        sys.exit(".env is not in UTF-8: save it in that encoding")
    except OSError as error:
        sys.exit(f"The secrets cannot be written into .env ({error}): mend that, or give SECRET_KEY in the environment")
