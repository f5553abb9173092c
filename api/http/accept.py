"""What an ``Accept`` header says (RFC 9110, section 12.5.1)."""

from collections.abc import Iterator


def ranges(accept: str) -> Iterator[tuple[str, float]]:
    """The media ranges in it, in small letters, each with how much it is liked: from 0 (not at all) to 1."""
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        yield name, quality


def allows(accept: str, media_type: str) -> bool:
    """Whether a client takes a media type: the range that names it most closely says so. Who says nothing takes all."""
    if not accept.strip():
        return True
    liked = dict(ranges(accept))
    closest = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((liked[name] for name in closest if name in liked), 0.0) > 0
