"""Rules of recurrence, and the calendar of a series: held to dateutil and to the zones' clocks."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from services.recurrences import rules, series
from services.recurrences.models import Occurrence, Recurrence, RecurrenceRecord
from services.recurrences.rules import Looked, parse
from services.recurrences.series import Dates
from services.shared.errors import BadUserInput, TooExpensive

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "UTC")
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _list(values: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=4, unique=True).map(lambda some: ",".join(map(str, some)))


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Rules that are taken."""
    frequency = draw(st.sampled_from(("DAILY", "WEEKLY", "MONTHLY", "YEARLY")))
    parts = [f"FREQ={frequency}"]
    if draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.integers(1, 30))}")
    if draw(st.booleans()):
        parts.append(f"WKST={draw(st.sampled_from(DAYS))}")
    by = []
    if draw(st.integers(0, 3)) == 0:
        by.append(f"BYMONTH={draw(_list(st.integers(1, 12)))}")
    if frequency != "WEEKLY" and draw(st.integers(0, 2)) == 0:
        by.append(f"BYMONTHDAY={draw(_list(st.integers(1, 31) | st.integers(-31, -1)))}")
    if draw(st.booleans()):
        plain = st.sampled_from(DAYS)
        numbered = st.builds("{}{}".format, st.integers(1, 4) | st.integers(-4, -1), plain)
        by.append(
            f"BYDAY={draw(_list(numbered if frequency in ('MONTHLY', 'YEARLY') and draw(st.booleans()) else plain))}"
        )
    if by and frequency in ("MONTHLY", "YEARLY") and draw(st.booleans()):
        by.append(f"BYSETPOS={draw(_list(st.integers(1, 4) | st.integers(-4, -1)))}")
    return ";".join([*parts, *by])


starts = st.dates(date(1990, 1, 1), date(2090, 12, 31))
moments = st.datetimes(datetime(1995, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))


def begun(
    rule: str, due_at: datetime, zone: str = "Europe/Berlin", start_at: datetime | None = None
) -> RecurrenceRecord:
    return series.begun(Recurrence(rule=rule, timezone=zone), Dates(start_at, due_at), "UTC", Looked())


def dues(found: list[Occurrence]) -> list[datetime]:
    return [each.due_at for each in found if each.due_at is not None]


class TestRules:
    @given(texts(), starts)
    @settings(max_examples=70, deadline=None)
    def test_fall_where_dateutil_has_them(self, text: str, start: date) -> None:
        ours = [*islice(parse(text).dates(start, Looked()), 12)]
        assume(ours)
        # as far as ours go: dateutil looks for more until the year 9999
        until = datetime.combine(ours[-1], datetime.min.time())
        theirs = rrule.rrulestr(text, dtstart=datetime.combine(start, datetime.min.time())).replace(until=until)
        assert [each.date() for each in theirs] == ours

    @given(texts())
    @settings(max_examples=50, deadline=None)
    def test_canonical_form_is_read_as_itself(self, text: str) -> None:
        rule = parse(text)
        assert parse(str(rule)) == rule
        assert str(parse(str(rule))) == str(rule)

    @pytest.mark.parametrize(
        ("text", "canonical"),
        [
            ("RRULE:FREQ=daily;interval=01", "FREQ=DAILY"),
            ("BYDAY=FR,+1MO;FREQ=MONTHLY;WKST=SU", "FREQ=MONTHLY;BYDAY=1MO,FR;WKST=SU"),
            ("FREQ=YEARLY;UNTIL=20271231T170000Z;BYMONTH=12,1,12", "FREQ=YEARLY;UNTIL=20271231T170000Z;BYMONTH=1,12"),
            ("FREQ=MONTHLY;BYMONTHDAY=-1,31;COUNT=5", "FREQ=MONTHLY;COUNT=5;BYMONTHDAY=-1,31"),
            ("FREQ=DAILY;UNTIL=00010203", "FREQ=DAILY;UNTIL=00010203"),
        ],
    )
    def test_have_one_form(self, text: str, canonical: str) -> None:
        assert str(parse(text)) == canonical

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "has a part that it cannot have; its parts are FREQ"),
            ("INTERVAL=2", "needs FREQ"),
            ("FREQ=SECONDLY", "must have FREQ=DAILY"),
            ("FREQ=DAILY;FREQ=WEEKLY", "has FREQ twice"),
            ("FREQ=DAILY;INTERVAL=", "has INTERVAL without a value"),
            ("FREQ=DAILY;INTERVAL=1000000000", "must have INTERVAL as a whole number from 1 to 1,000"),
            ("FREQ=DAILY;INTERVAL=0", "must have INTERVAL as a whole number from 1 to 1,000"),
            ("FREQ=DAILY;COUNT=2,3", "must have COUNT as a whole number from 1 to 1,000"),
            ("FREQ=DAILY;COUNT=\u0662", "must have COUNT as a whole number from 1 to 1,000"),
            ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "can have COUNT or UNTIL, and not both"),
            ("FREQ=DAILY;UNTIL=20270231", "must have UNTIL as a date"),
            ("FREQ=DAILY;UNTIL=20270101T090000", "must have UNTIL as a date"),
            ("FREQ=DAILY;BYMONTH=13", "must have BYMONTH as whole numbers from 1 to 12"),
            ("FREQ=MONTHLY;BYMONTHDAY=0", "must have BYMONTHDAY as whole numbers from 1 to 31, or -1 to -31"),
            ("FREQ=WEEKLY;BYMONTHDAY=1", "cannot have BYMONTHDAY with FREQ=WEEKLY"),
            ("FREQ=WEEKLY;BYDAY=2MO", "can have numbers in BYDAY with FREQ=MONTHLY and FREQ=YEARLY alone"),
            ("FREQ=MONTHLY;BYDAY=6MO", "must have numbers from 1 to 5"),
            ("FREQ=YEARLY;BYDAY=XX", "must have BYDAY as days such as MO"),
            ("FREQ=WEEKLY;BYDAY=MO;BYSETPOS=1", "can have BYSETPOS with FREQ=MONTHLY and FREQ=YEARLY alone"),
            ("FREQ=MONTHLY;BYSETPOS=1", "cannot have BYSETPOS alone"),
            (" FREQ=DAILY", "has a part that it cannot have"),
            ("FREQ=DAILY;WKST=XX", "must have WKST as a day such as MO"),
            ("FREQ=YEARLY;BYWEEKNO=20", "must do without BYWEEKNO"),
            ("FREQ=YEARLY;BYMONT=2", "where it could have BYMONTH;"),
        ],
    )
    def test_what_is_none_is_refused_by_a_sentence(self, text: str, words: str) -> None:
        with pytest.raises(PydanticCustomError) as refused:
            parse(text)
        assert words in refused.value.message()

    @pytest.mark.parametrize(
        "text",
        [
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
            "FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=WEEKLY;INTERVAL=1000;BYMONTH=2",
            "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
            "FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31",
            "FREQ=MONTHLY;INTERVAL=12;BYMONTH=5",
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
            f"FREQ=YEARLY;BYDAY={','.join(f'{number}MO' for number in range(1, 54))};BYSETPOS=300",
        ],
    )
    def test_what_never_occurs_is_known_soon(self, text: str) -> None:
        rule, began = parse(text), time.thread_time()
        assert next(rule.dates(date(2026, 11, 30), Looked()), None) is None
        assert time.thread_time() - began < 0.05

    def test_one_call_looks_at_so_much_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "MOST_LOOKED", 10_000)
        looked, rule = Looked(), parse("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30")
        for _ in range(2):
            assert next(rule.dates(date(2026, 11, 30), looked), None) is None
        with pytest.raises(TooExpensive):
            next(rule.dates(date(2026, 11, 30), looked), None)


class TestCalendar:
    @given(texts(), moments, st.sampled_from(ZONES))
    @settings(max_examples=50, deadline=None)
    def test_clocks_show_the_same_time_of_day(self, rule: str, due_at: datetime, zone: str) -> None:
        try:
            record = begun(rule, due_at, zone)
        except BadUserInput:
            assume(False)
            raise
        local = due_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        found = series.upcoming(record, Dates(None, due_at), due_at, 10, Looked())
        assert found
        for before, each in pairwise([due_at, *dues(found)]):
            assert each > before
            shown = each.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
            # what the clocks never show is an hour later at most, by the offset before
            assert timedelta(0) <= shown - datetime.combine(shown.date(), local.time()) <= timedelta(hours=1)
            if shown.time() != local.time():
                missing = datetime.combine(shown.date(), local.time()).replace(tzinfo=ZoneInfo(zone))
                assert missing.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == shown

    def test_time_that_the_clocks_leave_out_and_show_twice(self) -> None:
        record = begun("FREQ=DAILY", datetime(2027, 3, 27, 1, 30, tzinfo=UTC))
        found = series.upcoming(
            record,
            Dates(None, datetime(2027, 3, 27, 1, 30, tzinfo=UTC)),
            datetime(2027, 3, 27, tzinfo=UTC),
            3,
            Looked(),
        )
        assert [each.isoformat()[5:16] for each in dues(found)] == ["03-28T01:30", "03-29T00:30", "03-30T00:30"]
        due_at = datetime(2027, 10, 30, 0, 30, tzinfo=UTC)
        found = series.upcoming(begun("FREQ=DAILY", due_at), Dates(None, due_at), due_at, 2, Looked())
        assert [each.isoformat()[5:16] for each in dues(found)] == ["10-31T00:30", "11-01T01:30"]

    def test_start_keeps_its_distance_by_the_clocks_and_stays_before_the_end(self) -> None:
        start_at, due_at = datetime(2027, 3, 27, 1, 30, tzinfo=UTC), datetime(2027, 3, 27, 2, 0, tzinfo=UTC)
        record = begun("FREQ=DAILY", due_at, start_at=start_at)
        [first, second] = series.upcoming(record, Dates(start_at, due_at), due_at, 2, Looked())
        # 02:30 is 03:30 on that day, and 03:00 is 03:00
        assert first.start_at == first.due_at == datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
        assert (second.start_at, second.due_at) == (
            datetime(2027, 3, 29, 0, 30, tzinfo=UTC),
            datetime(2027, 3, 29, 1, 0, tzinfo=UTC),
        )

    def test_days_stay_days_and_are_over_with_the_day(self) -> None:
        dates = Dates(None, None, date(2027, 3, 26), date(2027, 3, 28))
        weekly = Recurrence(rule="FREQ=WEEKLY", timezone="Europe/Berlin")
        record = series.begun(weekly, dates, "UTC", Looked())
        assert record.occurrence == "2027-03-28"
        # the 4th of April ends at 22:00 in UTC
        for moment, day in ((datetime(2027, 4, 4, 21, 59), 4), (datetime(2027, 4, 4, 22), 11)):
            place = series.on_completion(record, moment.replace(tzinfo=UTC), Looked())
            assert place is not None
            assert place.text == f"2027-04-{day:02}"
            moved = series.moved(record, dates, place)
            assert moved == Dates(None, None, date(2027, 4, day - 2), date(2027, 4, day))
        record = record._replace(create_next="on_schedule")
        scheduled = series.scheduled(record, dates, Looked())
        assert scheduled.next_at == datetime(2027, 4, 1, 22, tzinfo=UTC)
        for moment, made in ((datetime(2027, 4, 1, 21, 59), None), (datetime(2027, 4, 1, 22), "2027-04-04")):
            found = series.on_schedule(record, dates, moment.replace(tzinfo=UTC), Looked())
            assert (found and found.text) == made

    @pytest.mark.parametrize("rule", ["FREQ=DAILY", f"FREQ=YEARLY;BYDAY={','.join(DAYS)}"])
    def test_what_was_missed_for_decades_is_passed_over_in_steps(self, rule: str) -> None:
        due_at, moment = datetime(1980, 1, 1, 9, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
        record, dates, began = begun(rule, due_at), Dates(None, due_at), time.thread_time()
        place = series.on_completion(record, moment, Looked())
        latest = series.on_schedule(record, dates, moment, Looked())
        [told] = dues(series.upcoming(record, dates, moment, 10, Looked()))
        assert time.thread_time() - began < 0.2
        assert place is not None
        assert place == latest
        assert due_at + timedelta(days=3_699) <= told == series.instant(record, place.local) < moment
        assert series.on_completion(begun(f"{rule};COUNT=9", due_at), moment, Looked()) is None

    @given(texts(), moments, moments, st.sampled_from(ZONES), st.timedeltas(timedelta(0), timedelta(days=40)))
    @settings(max_examples=30, deadline=None)
    def test_what_is_days_away_is_past_as_its_instant_is(
        self, rule: str, due_at: datetime, moment: datetime, zone: str, lead: timedelta
    ) -> None:
        dates = Dates(due_at - lead, due_at)
        try:
            record = begun(rule, due_at, zone)
        except BadUserInput:
            assume(False)
            raise
        every = [*islice(series._after(record, due_at.astimezone(ZoneInfo(zone)).date(), Looked()), 4_000)]
        coming = [place for place in every if series.instant(record, place.local) > moment]
        assert series.on_completion(record, moment, Looked()) == (coming[0] if coming else every[-1])
        ripe = [place for place in every if (series.moved(record, dates, place).start_at or moment) <= moment]
        assert series.on_schedule(record, dates, moment, Looked()) == (ripe[-1] if ripe else None)

    @pytest.mark.parametrize("due_at", [datetime(9998, 12, 30, tzinfo=UTC), datetime(1, 1, 1, 12, tzinfo=UTC)])
    def test_edges_of_the_calendar(self, due_at: datetime) -> None:
        record = begun("FREQ=DAILY", due_at, "Pacific/Kiritimati")
        found = series.upcoming(record, Dates(due_at, due_at), due_at, 10, Looked())
        assert 1 <= len(found) <= 10

    @pytest.mark.parametrize(
        ("dates", "zone"),
        [
            (Dates(datetime(1, 1, 1, tzinfo=UTC), datetime(2027, 3, 22, 8, tzinfo=UTC)), "America/New_York"),
            (Dates(None, datetime(1, 1, 1, tzinfo=UTC)), "America/New_York"),
            (Dates(None, datetime(9999, 12, 31, 23, tzinfo=UTC)), "Asia/Tokyo"),
            # what is as far before the place as this is before the due date begins where the calendar does
            (Dates(None, None, date(1, 12, 31), date(2028, 3, 21)), "Asia/Tokyo"),
            (Dates(None, None, date(1, 1, 1), date(9999, 12, 31)), "Asia/Tokyo"),
        ],
    )
    def test_series_goes_on_from_what_no_clock_shows(self, dates: Dates, zone: str) -> None:
        record = begun("FREQ=DAILY", datetime(2027, 3, 22, 8, tzinfo=UTC), zone)
        if dates.due_on is not None:
            record = record._replace(occurrence="2027-03-22")
        record = series.scheduled(record._replace(create_next="on_schedule"), dates, Looked())
        assert record.next_at is not None
        place = series.on_schedule(record, dates, record.next_at, Looked())
        assert place is not None
        assert series.moved(record, dates, place).are_due
        assert series.shifted(record, dates, series.distance(record, dates, place)) is not None
        assert series.upcoming(record, dates, record.next_at, 2, Looked())
