"""How single values in Jira's documents are read: nothing in them raises, and what was odd is noted."""

import json
from datetime import UTC, date, datetime, time

from core.clock import to_utc
from services.transfers.formats.jira.other_fields import Json
from services.transfers.records import Notes
from services.transfers.sources import shorten
from services.transfers.texts import one_line, storable


class JiraValues:
    """Reads values; ``notes`` says what was odd."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    def moment(self, value: object, where: str) -> datetime | None:
        """Jira writes 2011-04-15T02:41:12.000+0000; a time without an offset is taken as UTC."""
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(str(value))
            return to_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except ValueError:
            self.notes.bad_times.add(where)
            return None

    def due(self, value: object, ref: str) -> tuple[datetime | None, date | None]:
        """Jira's are days without a time; what has one is an instant."""
        if not value:
            return None, None
        try:
            moment = datetime.fromisoformat(str(value).strip())
            if moment.time() == time.min:  # midnight: how others write a day
                return None, moment.date()
        except ValueError:
            pass
        return self.moment(value, f"{ref} duedate"), None

    def external_id(self, value: object, default: str) -> str:
        """The id in the form in which it is kept; ``default`` where there is none."""
        return shorten(self.text(value, default) or default)

    def text(self, value: object, where: str) -> str | None:
        """The text, whole, less what no database stores. A structured one (of Jira's newer API) is kept as JSON."""
        if value is None:
            return None
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        cleaned = storable(text)
        if cleaned != text:
            self.notes.cleaned[where] += len(text) - len(cleaned)
        return cleaned

    def line(self, value: object, where: str) -> str | None:
        """The text as a title or a name: on one line, without what nobody sees; None or empty where nothing is left."""
        text = self.text(value, where)
        if text is None:
            return None
        line = one_line(text)
        self.notes.tidied += line != text.strip()
        return line

    def nested(self, fields: Json, name: str) -> Json:
        """The object of a field; an empty one, which is noted, where it is something else."""
        value = fields.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.notes.unreadable[name] += 1
        return {}

    def entries(self, fields: Json, name: str) -> list[object]:
        """The list of a field; an empty one, which is noted, where it is something else."""
        value = fields.get(name)
        if isinstance(value, list):
            return value
        if value is not None:
            self.notes.unreadable[name] += 1
        return []


def identity(value: object) -> object:
    """What somebody is known by; None for nobody. Server and Data Center know a ``key``, Cloud an ``accountId``."""
    if not isinstance(value, dict):
        return None
    return value.get("key") or value.get("accountId") or value.get("name") or None
