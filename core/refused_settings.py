"""What is wrong with the settings, in a sentence with a way out: for whoever starts a server or a command."""

from pathlib import Path

from pydantic import ValidationError

from core.sentences import words_for

MISSING_KEY = "SECRET_KEY is required: `make dotenv` writes a random one into .env"
WHERE = "Mend it in .env or in the environment (.env.example describes each setting)"


def explain(error: ValidationError) -> str:
    """One line, which names each setting. Values are not repeated, for they may be secrets."""
    sentences = []
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0]).upper() if detail["loc"] else ""
        words = words_for({**detail})
        if name == "SECRET_KEY" and detail["type"] == "missing":
            sentences.append(MISSING_KEY)
        else:
            # those of ours that are about several settings begin with their names
            sentences.append(words if words.startswith((name, "DEBUG ")) and words[:1].isupper() else f"{name} {words}")
    return mended("; ".join(sentences))


def unreadable(dotenv: Path = Path(".env")) -> str | None:
    """Why nothing can be read of the file of settings; None where it can be, or is not there."""
    try:
        if dotenv.is_file():
            dotenv.read_text("utf-8")
    except UnicodeDecodeError:
        return f"{dotenv} is not in UTF-8: save it in that encoding"
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return f"{dotenv} cannot be read ({reason}): give the user of the server the right to"
    return None


def mended(sentence: str) -> str:
    """The sentence, and where to mend it."""
    return f"{sentence}{' ' if sentence.endswith(('?', '…')) else '. '}{WHERE}"
