"""Rules of recurrence: the RRULE of RFC 5545 (section 3.3.10), by the day and longer, expanded by python-dateutil.

What a rule asks for may be never, or once in a thousand years, and is somebody else's input: so a rule is looked
through no further than a bound, which takes some milliseconds (``Looked``). A library that is asked for the next date
goes on to the year 9999.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, NoReturn

from dateutil import rrule
from pydantic_core import PydanticCustomError

from core.sentences import did_you_mean
from services.shared.errors import TooExpensive

MAX_RULE = 500
MAX_INTERVAL, MAX_COUNT = 1_000, 1_000
MAX_DAYS, MAX_MONTHS, MAX_YEARS = 3_700, 130, 40
"""How many days that a daily or weekly rule names, months of a monthly and years of a yearly one are looked at in a
row: ten years at least, and forty of a yearly one. Each bound takes less than 20 ms."""
MOST_LOOKED = 1_000_000
"""What one call may look at in all, in days: some two seconds."""
LAST = date(MAXYEAR - 1, 12, 31)
"""The last date that is looked for: it has an instant in UTC in every time zone."""

_FREQUENCIES = {"YEARLY": rrule.YEARLY, "MONTHLY": rrule.MONTHLY, "WEEKLY": rrule.WEEKLY, "DAILY": rrule.DAILY}
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FAR = {"YEARLY": 10_000, "MONTHLY": 120_000}
"""Intervals beyond the calendar: a rule with one is asked for a single year, or month."""
_CENTURY = timedelta(days=36_525)
_WEIGHTS = {"YEARLY": 40, "MONTHLY": 25}
_NUMBER = re.compile(r"[+-]?[0-9]{1,4}", re.ASCII)
_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_DATE = re.compile(r"[0-9]{8}", re.ASCII)
_INSTANT = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_PARTS = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST")
_OTHERS = frozenset({"BYHOUR", "BYMINUTE", "BYSECOND", "BYWEEKNO", "BYYEARDAY", "BYEASTER", "RSCALE", "SKIP"})
"""Parts that the standard has, or others do, and that are refused by their names."""
_KNOWN = ", ".join(_PARTS)


class Looked:
    """How much one call has looked at. Raises ``TooExpensive`` where that is too much."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_LOOKED

    def at(self, days: int) -> None:
        """So many more."""
        self._left -= days
        if self._left < 0:
            raise TooExpensive("The rules of these tasks take too long to look through: change fewer at once")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, checked. As text it is in its canonical form, by which rules are compared."""

    frequency: str
    interval: int = 1
    count: int | None = None
    until: date | datetime | None = None
    """The last date, or the last instant (in UTC)."""
    months: tuple[int, ...] = ()
    month_days: tuple[int, ...] = ()
    week_days: tuple[tuple[int, int], ...] = ()
    """Pairs of a day of the week (0 is Monday), and which one it is of the month or year; 0 for each."""
    positions: tuple[int, ...] = ()
    week_start: int = 0

    @property
    def ends(self) -> bool:
        """Whether it says when it ends."""
        return self.count is not None or self.until is not None

    def __str__(self) -> str:
        parts = [f"FREQ={self.frequency}"]
        if self.interval != 1:
            parts.append(f"INTERVAL={self.interval}")
        if self.count is not None:
            parts.append(f"COUNT={self.count}")
        if self.until is not None:
            end = self.until.isoformat()[:19].replace("-", "").replace(":", "")
            parts.append(f"UNTIL={end}Z" if isinstance(self.until, datetime) else f"UNTIL={end}")
        for name, numbers in (("BYMONTH", self.months), ("BYMONTHDAY", self.month_days)):
            if numbers:
                parts.append(f"{name}={','.join(map(str, numbers))}")
        if self.week_days:
            parts.append("BYDAY=" + ",".join(f"{number or ''}{_DAYS[day]}" for day, number in self.week_days))
        if self.positions:
            parts.append(f"BYSETPOS={','.join(map(str, self.positions))}")
        if self.week_start:
            parts.append(f"WKST={_DAYS[self.week_start]}")
        return ";".join(parts)

    def dates(self, start: date, looked: Looked) -> Iterator[date]:
        """The dates on which it falls, from one on from which intervals are counted (DTSTART), in order, as far as
        they are looked for; ``count`` and ``until`` are the caller's. Raises ``TooExpensive``."""
        found = (
            self._of_days(start, looked) if self.frequency in ("DAILY", "WEEKLY") else self._of_periods(start, looked)
        )
        for each in found:
            if each > LAST:
                return
            yield each

    def _of_days(self, start: date, looked: Looked) -> Iterator[date]:
        """By the day and the week, months and days only leave dates out (RFC 5545, page 44): what is looked through are
        dates that there are."""
        days = {day for day, _ in self.week_days}
        weekly = self.frequency == "WEEKLY"
        every = rrule.rrule(
            _FREQUENCIES[self.frequency],
            dtstart=_midnight(start),
            interval=self.interval,
            wkst=self.week_start,
            byweekday=sorted(days) if weekly and days else None,
            until=_midnight(min(start, LAST - _CENTURY) + _CENTURY),
        )
        for moment in islice(every, MAX_DAYS):
            looked.at(1)
            day = moment.date()
            if (
                (not self.months or day.month in self.months)
                and (not self.month_days or self._is_named(day))
                and (weekly or not days or day.weekday() in days)
            ):
                yield day

    def _is_named(self, day: date) -> bool:
        return day.day in self.month_days or day.day - monthrange(day.year, day.month)[1] - 1 in self.month_days

    def _of_periods(self, start: date, looked: Looked) -> Iterator[date]:
        """Months and years one by one: in one that has none, dateutil would go on."""
        options = self._options(start)
        monthly = self.frequency == "MONTHLY"
        months = options["bymonth"]
        left = MAX_MONTHS if monthly else MAX_YEARS
        place = start.year * 12 + (start.month - 1 if monthly else 0)
        while left:
            year, month = divmod(place, 12)
            place += self.interval * (1 if monthly else 12)
            if year >= MAXYEAR:
                return
            if monthly and months and month + 1 not in months:
                if place > (start.year + MAX_YEARS) * 12:
                    return
                continue
            left -= 1
            looked.at(_WEIGHTS[self.frequency])
            first = datetime(year, month + 1, 1)
            for moment in rrule.rrule(_FREQUENCIES[self.frequency], dtstart=first, **options):
                looked.at(1)
                if moment.date() >= start:
                    yield moment.date()

    def _options(self, start: date) -> dict[str, Any]:
        """What dateutil is asked for of a single month or year, with what RFC 5545 takes from the start."""
        months, month_days = self.months, self.month_days
        if not self.week_days and not month_days:
            month_days = (start.day,)
            if self.frequency == "YEARLY" and not months:
                months = (start.month,)
        return {
            "interval": _FAR[self.frequency],
            "wkst": self.week_start,
            "bymonth": months or None,
            "bymonthday": month_days or None,
            "byweekday": self._dateutils_days() or None,
            "bysetpos": self.positions or None,
        }

    def _dateutils_days(self) -> list[Any]:
        """Each Monday and the second Tuesday: to dateutil, days with and without a number have to be both."""
        if not any(number for _, number in self.week_days):
            return [day for day, _ in self.week_days]
        most = 53 if self.frequency == "YEARLY" and not self.months else 5
        return [
            rrule.weekday(day, each)
            for day, number in self.week_days
            for each in ([number] if number else range(1, most + 1))
        ]


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


def parse(text: str) -> Rule:
    """The rule that a text is, in any case, with or without ``RRULE:`` before it. Raises ``PydanticCustomError``."""
    given: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").split(";"):
        name, equals, value = part.partition("=")
        if name in _OTHERS:
            _refuse("must do without {name}: its parts are {known}", name=name, known=_KNOWN)
        if name not in _PARTS:
            _refuse(
                "has a part that it cannot have{meant}; its parts are {known}",
                meant=did_you_mean(name, _PARTS).replace("; did you mean ", ", where it could have ").rstrip("?"),
                known=_KNOWN,
            )
        if not equals or not value:
            _refuse("has {name} without a value", name=name)
        if name in given:
            _refuse("has {name} twice", name=name)
        given[name] = value
    rule = Rule(
        _frequency(given),
        interval=_numbers(given, "INTERVAL", 1, MAX_INTERVAL, single=True)[0] if "INTERVAL" in given else 1,
        count=_numbers(given, "COUNT", 1, MAX_COUNT, single=True)[0] if "COUNT" in given else None,
        until=_until(given["UNTIL"]) if "UNTIL" in given else None,
        months=_numbers(given, "BYMONTH", 1, 12),
        month_days=_numbers(given, "BYMONTHDAY", 1, 31, signed=True),
        week_days=_week_days(given),
        positions=_numbers(given, "BYSETPOS", 1, 366, signed=True),
        week_start=_week_start(given),
    )
    if "COUNT" in given and "UNTIL" in given:
        _refuse("can have COUNT or UNTIL, and not both")
    if rule.month_days and rule.frequency == "WEEKLY":
        _refuse("cannot have BYMONTHDAY with FREQ=WEEKLY")
    if rule.positions and rule.frequency not in _FAR:
        _refuse("can have BYSETPOS with FREQ=MONTHLY and FREQ=YEARLY alone")
    if rule.positions and not (rule.months or rule.month_days or rule.week_days):
        _refuse("cannot have BYSETPOS alone: it chooses among what BYDAY, BYMONTHDAY or BYMONTH name")
    return rule


def _refuse(words: Any, **values: str) -> NoReturn:
    raise PydanticCustomError("rrule", words, values)


def _frequency(given: dict[str, str]) -> str:
    if "FREQ" not in given:
        _refuse("needs FREQ")
    if given["FREQ"] not in _FREQUENCIES:
        _refuse("must have FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")
    return given["FREQ"]


def _numbers(
    given: dict[str, str], name: str, least: int, most: int, *, signed: bool = False, single: bool = False
) -> tuple[int, ...]:
    if name not in given:
        return ()
    found = set()
    for text in [given[name]] if single else given[name].split(","):
        number = int(text) if _NUMBER.fullmatch(text) else 0
        if not least <= (abs(number) if signed else number) <= most:
            whole = "a whole number" if single else "whole numbers"
            _refuse(
                "must have {name} as {whole} from {least} to {most}{signed}",
                name=name,
                whole=whole,
                least=str(least),
                most=f"{most:,}",
                signed=f", or -{least} to -{most}" if signed else "",
            )
        found.add(number)
    return tuple(sorted(found))


def _week_days(given: dict[str, str]) -> tuple[tuple[int, int], ...]:
    found = set()
    numbered = given["FREQ"] in _FAR
    most = 53 if given["FREQ"] == "YEARLY" and "BYMONTH" not in given else 5
    for text in given["BYDAY"].split(",") if "BYDAY" in given else ():
        match = _DAY.fullmatch(text)
        if match is None:
            _refuse("must have BYDAY as days such as MO or, by the month and year, 2TU or -1FR")
        number = int(match[1] or 0)
        if match[1] is not None and not numbered:
            _refuse("can have numbers in BYDAY with FREQ=MONTHLY and FREQ=YEARLY alone")
        if match[1] is not None and not 1 <= abs(number) <= most:
            _refuse("must have numbers from 1 to {most}, or -1 to -{most}, in BYDAY", most=str(most))
        found.add((_DAYS.index(match[2]), number))
    return tuple(sorted(found))


def _week_start(given: dict[str, str]) -> int:
    if given.get("WKST", "MO") not in _DAYS:
        _refuse("must have WKST as a day such as MO")
    return _DAYS.index(given.get("WKST", "MO"))


def _until(text: str) -> date | datetime:
    try:
        if _DATE.fullmatch(text):
            return datetime.strptime(text, "%Y%m%d").date()
        if _INSTANT.fullmatch(text):
            return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    _refuse("must have UNTIL as a date such as 20261231, which counts, or an instant in UTC such as 20261231T170000Z")
