"""The files behind the pages: our own, committed in ``static/``, and those installed in ``assets/`` with a manifest.

Every file is known under a logical name (``graphiql.js``) and served under a name that changes with its content, so
that a browser may keep it for ever. A request names a key of a table and never a path: nothing else can be reached.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
STATIC: Final = HERE / "static"
INSTALLED: Final = HERE / "assets"
PREFIX: Final = "assets"

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that may be served."""

    path: Path
    sha256: str

    @property
    def etag(self) -> str:
        return f'"{self.sha256[:32]}"'

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES.get(self.path.suffix, "application/octet-stream")


class Assets:
    """Looks assets up by logical and by served name; notices an installation made while the server runs."""

    def __init__(self, static: Path = STATIC, installed: Path = INSTALLED) -> None:
        self._installed = installed
        self._lock = threading.Lock()
        self._own: dict[str, str] = {}
        self._own_files: dict[str, Asset] = {}
        for path in sorted(static.iterdir()):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            served = f"{path.stem}-{sha256[:12]}{path.suffix}"
            self._own[path.name] = served
            self._own_files[served] = Asset(path, sha256)
        self._seen: tuple[int, int] | None = None
        self._names: dict[str, str] = {}
        self._files: dict[str, Asset] = {}

    def url(self, name: str) -> str | None:
        """Where a page finds ``name``, relative to a page at the root; None when it is not installed."""
        self._refresh()
        served = self._own.get(name) or self._names.get(name)
        return f"{PREFIX}/{served}" if served else None

    def find(self, served: str) -> Asset | None:
        """The file served under this name."""
        if own := self._own_files.get(served):
            return own
        self._refresh()
        return self._files.get(served)

    def _refresh(self) -> None:
        manifest = self._installed / "manifest.json"
        try:
            status = manifest.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._seen:
                return
            entries: dict[str, dict[str, str]] = json.loads(manifest.read_bytes())["files"]
            names = {name: entry["file"] for name, entry in entries.items()}
            files = {
                entry["file"]: Asset(self._installed / entry["file"], entry["sha256"])
                for entry in entries.values()
                if Path(entry["file"]).name == entry["file"] and (self._installed / entry["file"]).is_file()
            }
            names = {name: served for name, served in names.items() if served in files}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            seen, names, files = None, {}, {}
        with self._lock:
            self._seen, self._names, self._files = seen, names, files


ASSETS: Final = Assets()
