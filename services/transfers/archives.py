"""Tar archives as a stream of files: nothing is extracted, and one file at a time is in memory.

``tarfile`` ends quietly where a header is damaged or missing, so the end is checked here: an archive is whole when its
end marker was reached and the compression's own checks passed.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self, cast

from services.shared.errors import BadUserInput

MAX_FILE_BYTES = 32 * 1024 * 1024
"""A larger file inside an archive is refused: it would have to be held in memory whole."""

_CHUNK = 1 << 20
_DAMAGE = (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError, ValueError)


class ArchiveError(BadUserInput):
    """The archive cannot be read (on)."""

    title = "The archive cannot be read"


class ArchivedFile(NamedTuple):
    """A file of an archive; ``read`` gives its bytes, until the next one is asked for."""

    path: str
    size: int
    archive: "Archive"
    entry: tarfile.TarInfo

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def read(self) -> bytes:
        """Raises ``ArchiveError`` where the archive ends too early, and for a file larger than ``MAX_FILE_BYTES``."""
        return self.archive.read(self)


class _Tail:
    """Passes bytes on and remembers the last two pieces, so that the end of the archive can be looked at."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = self._previous = b""
        self._end = 0

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if piece:
            self._previous, self._last = self._last, piece
            self._end += len(piece)
        return piece

    def block(self, offset: int) -> bytes:
        """The 512 bytes at an offset, as far as they are there and were read a moment ago."""
        kept = self._previous + self._last
        start = offset - (self._end - len(kept))
        return kept[start : start + tarfile.BLOCKSIZE] if start >= 0 else b""


class Archive:
    """A ``.tar``, plain or compressed by xz, gzip or bzip2; what it is, its first bytes tell.

    Raises ``ArchiveError`` for anything else, and while reading for an archive that is damaged or cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise ArchiveError(f"Cannot open {path}: {error.strerror}") from None
        try:
            self.size = path.stat().st_size
            self._stream = _Tail(_decompressed(self._raw))
        except BaseException:
            self._raw.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()

    @property
    def position(self) -> int:
        """How many bytes of the file on disk were read: for progress, against ``size``."""
        return self._raw.tell()

    def files(self) -> Iterator[ArchivedFile]:
        """The regular files in the order in which they are stored."""
        try:
            self._tar = tarfile.open(fileobj=cast(BinaryIO, self._stream), mode="r|")  # noqa: SIM115 - a view of _raw
            while (entry := self._tar.next()) is not None:
                self._tar.members.clear()  # type: ignore[attr-defined]  # every entry would be kept, for random access
                if entry.isreg():
                    yield ArchivedFile(entry.name, entry.size, self, entry)
            end = self._stream.block(self._tar.offset)
            while self._stream.read(_CHUNK):  # to the end, where the checksum stands
                pass
        except _DAMAGE as error:
            raise self._damaged(error) from None
        if len(end) < tarfile.BLOCKSIZE:
            raise ArchiveError(f"{self._path.name} is cut off: it stops without the end that a tar archive has")
        if any(end):
            raise ArchiveError(f"{self._path.name} is damaged: what follows the last readable file is no tar header")

    def read(self, file: ArchivedFile) -> bytes:
        """The content of a file. Raises ``ArchiveError`` where it is too large, cut off or damaged."""
        if file.size > MAX_FILE_BYTES:
            raise ArchiveError(
                f"{file.path} in {self._path.name} has {file.size:,} bytes; at most {MAX_FILE_BYTES:,} can be read"
            )
        try:
            stream = self._tar.extractfile(file.entry)
            content = stream.read() if stream else b""
        except _DAMAGE as error:
            raise self._damaged(error) from None
        if len(content) != file.size:
            raise ArchiveError(f"{self._path.name} is cut off in the middle of {file.path}")
        return content

    def _damaged(self, error: Exception) -> ArchiveError:
        # tarfile gives zlib's errors as its own
        if isinstance(error, tarfile.TarError) and not self._started and not str(error).startswith("zlib"):
            return ArchiveError(f"{self._path.name} is not a tar archive (.tar, .tar.xz, .tar.gz or .tar.bz2)")
        if isinstance(error, EOFError) or "unexpected end" in str(error):
            return ArchiveError(f"{self._path.name} is cut off: the file ends in the middle of its contents")
        return ArchiveError(f"{self._path.name} is damaged: {error}")

    @property
    def _started(self) -> bool:
        """Whether a first header was understood."""
        return hasattr(self, "_tar") and self._tar.offset > 0


def _decompressed(raw: BinaryIO) -> BinaryIO:
    magic = raw.read(6)
    raw.seek(0)
    if magic == b"\xfd7zXZ\x00":
        return cast(BinaryIO, lzma.open(raw))
    if magic[:2] == b"\x1f\x8b":
        return cast(BinaryIO, gzip.open(raw))
    if magic[:3] == b"BZh":
        return cast(BinaryIO, bz2.open(raw))
    return raw
