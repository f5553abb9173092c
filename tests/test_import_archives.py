"""Reading archives: what Jira's documents become, and what is said of archives that cannot be read."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from services.transfers import archives
from services.transfers.archives import Archive, ArchiveError
from services.transfers.formats.jira.reader import JiraReader
from services.transfers.people import username
from services.transfers.records import SHOWN, ImportedTask
from tests.jira_archives import CHANGED, Tracker, pack


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


def read(path: Path, *projects: str) -> tuple[list[ImportedTask], JiraReader]:
    """The issues of an archive, and the reader with its notes."""
    reader = JiraReader(frozenset(projects))
    with Archive(path) as archive:
        records = [reader.read(file) for file in archive.files()]
    return [record for record in records if isinstance(record, ImportedTask)], reader


def only(tracker: Tracker, folder: Path, **fields: Any) -> tuple[ImportedTask, JiraReader]:
    """The record of an issue with these fields."""
    tracker.issue(1, **fields)
    [issue], reader = read(tracker.pack(folder))
    return issue, reader


class TestArchive:
    @pytest.mark.parametrize("name", ["dump.tar.xz", "dump.tar.gz", "dump.tgz", "dump.tar.bz2", "dump.tar"])
    def test_every_compression_gives_the_files_in_order(self, tracker: Tracker, tmp_path: Path, name: str) -> None:
        for number in (2, 10, 1):
            tracker.issue(number)

        issues, _ = read(tracker.pack(tmp_path, name))

        assert [issue.number for issue in issues] == [2, 10, 1]

    def test_name_of_the_file_does_not_matter(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.issue(1)
        path = tracker.pack(tmp_path).rename(tmp_path / "download")

        assert len(read(path)[0]) == 1

    @pytest.mark.parametrize("name", ["dump.tar.xz", "dump.tar.gz", "dump.tar.bz2", "dump.tar"])
    def test_cut_off_anywhere_is_never_taken_for_whole(self, tracker: Tracker, tmp_path: Path, name: str) -> None:
        for number in range(1, 6):
            tracker.issue(number, description="Words, words. " * 50)
        whole = tracker.pack(tmp_path, name).read_bytes()
        end = len(whole.rstrip(b"\0")) if name == "dump.tar" else len(whole)

        for size in {1, 100, 512, 1024, end // 3, end // 2, end - 600, end - 8, end - 1} & set(range(1, end)):
            path = tmp_path / name
            path.write_bytes(whole[:size])
            with pytest.raises(ArchiveError, match=r"cut off|not a tar archive|damaged"):
                read(path)

    def test_tar_that_stops_between_two_files_is_cut_off(self, tracker: Tracker, tmp_path: Path) -> None:
        for number in range(1, 4):
            tracker.issue(number)
        path = tracker.pack(tmp_path, "dump.tar")
        whole = path.read_bytes()
        second = whole.index(f"data/{tracker.key}/{tracker.key}-2.json".encode())
        path.write_bytes(whole[:second])

        with pytest.raises(ArchiveError, match="cut off"):
            read(path)

    def test_damaged_header_is_not_the_end(self, tracker: Tracker, tmp_path: Path) -> None:
        for number in range(1, 4):
            tracker.issue(number)
        path = tracker.pack(tmp_path, "dump.tar")
        whole = bytearray(path.read_bytes())
        second = whole.index(f"data/{tracker.key}/{tracker.key}-2.json".encode())
        whole[second : second + 100] = b"?" * 100
        path.write_bytes(whole)

        with pytest.raises(ArchiveError, match="damaged"):
            read(path)

    @pytest.mark.parametrize("name", ["dump.tar.xz", "dump.tar.gz"])
    def test_flipped_bits_are_noticed(self, tracker: Tracker, tmp_path: Path, name: str) -> None:
        for number in range(1, 30):
            tracker.issue(number, description=tracker.token * number)
        path = tracker.pack(tmp_path, name)
        whole = bytearray(path.read_bytes())
        whole[len(whole) // 2] ^= 0xFF
        path.write_bytes(whole)

        with pytest.raises(ArchiveError):
            read(path)

    @pytest.mark.parametrize(
        "content",
        [b"", b"just text\n", b"PK\x03\x04" + b"zip" * 500, gzip.compress(b"text"), lzma.compress(b"\xff" * 2000)],
        ids=["empty", "text", "zip", "gzip of text", "xz of bytes"],
    )
    def test_what_is_no_archive_is_named_so(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "dump.tar.xz"
        path.write_bytes(content)

        with pytest.raises(ArchiveError, match=r"dump\.tar\.xz is not a tar archive"):
            read(path)

    def test_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"Cannot open .*absent"):
            read(tmp_path / "absent")

    def test_folder_is_no_archive(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match="Is a directory"):
            read(tmp_path)

    def test_file_that_would_not_fit_into_memory_is_refused(
        self, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tracker.issue(1, description="x" * 5000)
        monkeypatch.setattr(archives, "MAX_FILE_BYTES", 4000)

        with pytest.raises(ArchiveError, match="bytes; at most 4,000 can be read"):
            read(tracker.pack(tmp_path))

    def test_entries_are_not_kept(self, tracker: Tracker, tmp_path: Path) -> None:
        for number in range(1, 100):
            tracker.issue(number)
        with Archive(tracker.pack(tmp_path)) as archive:
            kept = max(len(archive._tar.members) for _ in archive.files())  # type: ignore[attr-defined]  # what the reader opened

        assert kept <= 1


class TestJiraReader:
    def test_broken_json_names_the_file(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.put(f"{tracker.key}-1.json", b'{"id": "1", "key": ')

        with pytest.raises(ArchiveError, match=f"{tracker.key}-1.json holds no valid JSON"):
            read(tracker.pack(tmp_path))

    def test_json_nested_without_end_is_broken(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.put(f"{tracker.key}-1.json", b"[" * 100_000)

        with pytest.raises(ArchiveError, match="no valid JSON"):
            read(tracker.pack(tmp_path))

    def test_other_files_are_passed_over(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.issue(1)
        tracker.put("icon.png", b"\x89PNG")
        tracker.put("settings.json", b"{broken")
        tracker.put(f"._{tracker.key}-1.json", b"\x00\x05\x16\x07")
        tracker.put(f"{tracker.key}-2.json", {"errorMessages": ["Issue does not exist"]})
        tracker.put(f"{tracker.key}-3.json", None)
        tracker.put(f"{tracker.key}-4.json", {"key": f"{tracker.key}-4", "fields": "none"})
        tracker.put("project.json", ["no project"])

        issues, reader = read(tracker.pack(tmp_path))

        assert [issue.number for issue in issues] == [1]
        assert reader.notes.not_issues.names == [f"{tracker.key}-{number}.json" for number in (2, 3, 4)]
        assert reader.notes.other_files.names == [
            "icon.png",
            "settings.json",
            f"._{tracker.key}-1.json",
            "project.json",
        ]

    @pytest.mark.parametrize("number", [2**31, 10**11, "9" * 5000])
    def test_number_that_no_database_stores_is_named(self, tracker: Tracker, tmp_path: Path, number: int | str) -> None:
        tracker.issue(2**31 - 1)
        tracker.put(f"{tracker.key}-0.json", {"id": "9", "key": f"{tracker.key}-{number}", "fields": {}})

        issues, reader = read(tracker.pack(tmp_path))

        assert [issue.number for issue in issues] == [2**31 - 1]
        assert (reader.notes.not_issues.count, reader.notes.not_issues.names) == (1, [f"{tracker.key}-0.json"])

    def test_names_of_what_is_no_issue_are_not_kept_without_end(self, tracker: Tracker, tmp_path: Path) -> None:
        for number in range(30):
            tracker.put(f"{tracker.key}-{number}.json", [])

        _, reader = read(tracker.pack(tmp_path))

        assert (reader.notes.not_issues.count, len(reader.notes.not_issues.names)) == (30, SHOWN)

    def test_only_the_projects_asked_for_are_read(self, tracker: Tracker, tmp_path: Path) -> None:
        other = Tracker()
        tracker.issue(1)
        other.issue(1)
        path = pack(tmp_path / "dump.tar", {**tracker.files, **other.files})

        issues, _ = read(path, other.key)

        assert [issue.project.key for issue in issues] == [other.key]

    @pytest.mark.parametrize(
        ("status", "resolution", "expected"),
        [
            ("Open", None, "pending"),
            ("Reopened", None, "pending"),
            ("In Progress", None, "in_progress"),
            ("In Review", None, "in_progress"),
            ("In QE Test", None, "in_progress"),
            ("Closed", None, "completed"),
            ("Closed", "Fixed", "completed"),
            ("Resolved", "Done", "completed"),
            ("Closed", "Won't Fix", "cancelled"),
            ("Closed", "Won’t Do", "cancelled"),
            ("Resolved", "Duplicate", "cancelled"),
            ("Closed", "Cannot Reproduce", "cancelled"),
            ("Closed", "Invalid", "cancelled"),
            ("Closed", "Not Our Bug", "cancelled"),
            ("Closed", "Hold", "cancelled"),
            ("Closed", "Needs more info", "cancelled"),
            ("Open", "Invalid", "pending"),
            ("CLOSED ", "fixed", "completed"),
        ],
    )
    def test_status(self, tracker: Tracker, tmp_path: Path, status: str, resolution: str | None, expected: str) -> None:
        issue, reader = only(tracker, tmp_path, status={"name": status}, resolution=resolution and {"name": resolution})

        assert issue.status == expected
        assert not reader.notes.unknown

    @pytest.mark.parametrize(
        ("category", "expected"), [("new", "pending"), ("indeterminate", "in_progress"), ("done", "completed")]
    )
    def test_status_of_another_name_goes_by_its_category(
        self, tracker: Tracker, tmp_path: Path, category: str, expected: str
    ) -> None:
        issue, reader = only(tracker, tmp_path, status={"name": "Simmering", "statusCategory": {"key": category}})

        assert issue.status == expected
        assert not reader.notes.unknown

    def test_unknown_words_are_reported(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.issue(1, status={"name": "Simmering"}, priority={"name": "Soonish"})
        tracker.issue(2, status={"name": "Closed"}, resolution={"name": "Evaporated"})
        tracker.issue(3, status=None)

        issues, reader = read(tracker.pack(tmp_path))

        assert [(issue.status, issue.priority) for issue in issues] == [
            ("pending", 1),
            ("completed", 3),
            ("pending", 3),
        ]
        assert dict(reader.notes.unknown) == {
            ("status", "Simmering"): 1,
            ("status", "(none)"): 1,
            ("priority", "Soonish"): 1,
            ("resolution", "Evaporated"): 1,
        }

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Blocker", 5),
            ("Critical", 5),
            ("High", 4),
            ("Medium", 3),
            ("Low", 2),
            ("Trivial", 1),
            ("None", 1),
            (None, 1),
        ],
    )
    def test_priority(self, tracker: Tracker, tmp_path: Path, name: str | None, expected: int) -> None:
        issue, reader = only(tracker, tmp_path, priority=name and {"name": name})

        assert issue.priority == expected
        assert not reader.notes.unknown

    def test_times(self, tracker: Tracker, tmp_path: Path) -> None:
        closed: dict[str, Any] = {"status": {"name": "Closed"}}
        tracker.issue(1, **closed, updated=CHANGED, resolutiondate="2015-03-02T07:00:00Z")
        tracker.issue(2, **closed, updated=CHANGED)
        tracker.issue(3, updated=CHANGED, resolutiondate=CHANGED)
        tracker.issue(4, created="yesterday", updated=CHANGED)

        issues, reader = read(tracker.pack(tmp_path))

        created = "2015-03-01T08:30:00+00:00"
        updated = "2015-03-02T08:45:30.250000+00:00"
        assert [tuple(str(t) for t in (i.created_at, i.updated_at, i.completed_at)) for i in issues] == [
            tuple(text.replace("T", " ") for text in texts)
            for texts in (
                (created, updated, "2015-03-02T07:00:00+00:00"),
                (created, updated, updated),
                (created, updated, "None"),
                (updated, updated, "None"),
            )
        ]
        assert reader.notes.bad_times.names == [f"{tracker.key}-4 created"]

    @pytest.mark.parametrize(
        ("duedate", "expected"),
        [
            ("2019-05-11", "2019-05-11"),
            (" 2019-05-11 ", "2019-05-11"),
            ("2019-05-11T00:00:00.000-0700", "2019-05-11"),
            ("2019-05-11T17:30:00.000+0200", "2019-05-11 15:30:00+00:00"),
            ("9999-12-31", "9999-12-31"),
            (None, "None"),
            ("", "None"),
        ],
    )
    def test_due_date_is_a_day(self, tracker: Tracker, tmp_path: Path, duedate: str | None, expected: str) -> None:
        issue, reader = only(tracker, tmp_path, duedate=duedate)

        assert str(issue.due_on or issue.due_at) == expected
        assert reader.notes.bad_times.count == 0

    @pytest.mark.parametrize("duedate", ["11/May/19", "2019-02-30", "0000-00-00", ["2019-05-11"], {"day": 1}, "soon"])
    def test_due_date_that_cannot_be_read_is_named(self, tracker: Tracker, tmp_path: Path, duedate: object) -> None:
        issue, reader = only(tracker, tmp_path, duedate=duedate)

        assert not issue.has_due_date
        assert reader.notes.bad_times.names == [f"{tracker.key}-1 duedate"]

    def test_time_outside_the_calendar_is_one_that_cannot_be_read(self, tracker: Tracker, tmp_path: Path) -> None:
        _, reader = only(tracker, tmp_path, created="0001-01-01T00:00:00.000+1400")

        assert reader.notes.bad_times.names == [f"{tracker.key}-1 created"]

    @pytest.mark.parametrize(
        ("summary", "expected"),
        [
            ("  \t Blanks around ", "Blanks around"),
            ("two  blanks", "two  blanks"),
            (" ", None),
            ("", None),
            (None, None),
        ],
    )
    def test_title(self, tracker: Tracker, tmp_path: Path, summary: str | None, expected: str | None) -> None:
        issue, reader = only(tracker, tmp_path, summary=summary)

        assert issue.title == (expected or f"{tracker.key}-1")
        assert reader.notes.tidied == 0

    @pytest.mark.parametrize(
        ("summary", "expected"),
        [
            ("two\nlines", "two lines"),
            ("two \r\n\t lines", "two lines"),
            ("bell\x07 \x9b line\u2028separator\u2029", "bell line separator"),
            ("Ame\u0301lie", "Amélie"),
            ("in\u200bvisi\u00adble\ufeff", "invisible"),
            ("turned \u202etxt\u202c", "turned txt"),
            ("\u200b", None),
            ("\u200d \ufe0f", None),
            ("\u3164\u2800", None),
            ("\x01\n", None),
        ],
    )
    def test_title_is_a_line_that_shows(
        self, tracker: Tracker, tmp_path: Path, summary: str, expected: str | None
    ) -> None:
        issue, reader = only(tracker, tmp_path, summary=summary)

        assert issue.title == (expected or f"{tracker.key}-1")
        assert reader.notes.tidied == 1

    @pytest.mark.parametrize(
        "summary",
        [
            "👩\u200d💻 pairs",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "❤\ufe0f",
            "한국어",
            "नमस्ते",
            "\u05d0\u200f!",
        ],
    )
    def test_joiners_and_marks_that_letters_need_stay(self, tracker: Tracker, tmp_path: Path, summary: str) -> None:
        issue, reader = only(tracker, tmp_path, summary=summary)

        assert (issue.title, reader.notes.tidied) == (summary, 0)

    def test_what_no_database_stores_is_taken_out_and_reported(self, tracker: Tracker, tmp_path: Path) -> None:
        remark = tracker.comment("bell\x00 and \ud800half")
        issue, reader = only(
            tracker, tmp_path, summary="a\x00b", description="\x00c\x00 d\udfff", labels=["e\x00"], comments=[remark]
        )

        assert (issue.title, issue.description, issue.tags) == ("ab", "c d", ("e",))
        assert issue.comments[0].body == "bell and half"
        ref = f"{tracker.key}-1"
        assert dict(reader.notes.cleaned) == {ref: 5, f"{ref} comment {remark['id']}": 2}

    def test_real_surrogate_pairs_and_odd_letters_stay(self, tracker: Tracker, tmp_path: Path) -> None:
        text = "\U0001f600 \ufffd é\u0301 \u202e {html}<b>"
        issue, reader = only(tracker, tmp_path, description=text)

        assert issue.description == text
        assert not reader.notes.cleaned

    def test_comments(self, tracker: Tracker, tmp_path: Path) -> None:
        mia = tracker.person("mia")
        comments = [
            tracker.comment("first", author=mia),
            tracker.comment("changed", author=mia, updated=CHANGED),
            tracker.comment(None, author=mia),
            tracker.comment("nobody's"),
        ]
        issue, reader = only(tracker, tmp_path, comment={"comments": comments, "total": 9})

        assert [(r.body, r.author is not None, r.edited_at is not None) for r in issue.comments] == [
            ("first", True, False),
            ("changed", True, True),
            ("", True, False),
            ("nobody's", False, False),
        ]
        notes = reader.notes
        assert (notes.empty_comments, notes.comments_without_author, notes.comments_not_in_archive) == (1, 1, 5)

    def test_labels(self, tracker: Tracker, tmp_path: Path) -> None:
        issue, reader = only(tracker, tmp_path, labels=["Red", " ", "x" * 51, 7, None, {"name": "a"}, "bo\u0308se\n"])

        assert issue.tags == ("Red", "x" * 49 + "…", "7", "böse")
        assert dict(reader.notes.shortened) == {"labels": 1}
        assert dict(reader.notes.unreadable) == {"labels": 3}

    def test_person_of_the_cloud_has_an_account_id(self, tracker: Tracker, tmp_path: Path) -> None:
        issue, _ = only(tracker, tmp_path, reporter={"accountId": "5b:10", "displayName": "Mia Maus"})

        assert issue.created_by is not None
        assert (issue.created_by.external_id, issue.created_by.name, issue.created_by.timezone) == (
            "5b:10",
            "Mia Maus",
            "UTC",
        )

    def test_creator_stands_in_for_a_missing_reporter(self, tracker: Tracker, tmp_path: Path) -> None:
        issue, _ = only(tracker, tmp_path, creator=tracker.person("mia"))

        assert issue.created_by is not None
        assert issue.created_by.full_name == "Mia"

    @pytest.mark.parametrize("fields", [{}, {"comment": None, "labels": None, "project": []}, {"labels": "Red"}])
    def test_sparse_issues_are_issues(self, tracker: Tracker, tmp_path: Path, fields: dict[str, Any]) -> None:
        tracker.put(f"{tracker.key}-1.json", json.dumps({"key": f"{tracker.key}-1", "fields": fields}).encode())

        [issue], _ = read(tracker.pack(tmp_path))

        assert (issue.external_id, issue.title, issue.status) == (f"{tracker.key}-1", f"{tracker.key}-1", "pending")

    def test_very_long_ids_are_kept_apart(self, tracker: Tracker, tmp_path: Path) -> None:
        for number, letter in ((1, "a"), (2, "b")):
            tracker.put(
                f"{tracker.key}-{number}.json",
                {"id": "9" * 400 + letter, "key": f"{tracker.key}-{number}", "fields": {}},
            )

        issues, _ = read(tracker.pack(tmp_path))

        assert len({issue.external_id for issue in issues}) == 2
        assert all(len(issue.external_id) <= 120 for issue in issues)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mia.maus", "mia_maus"),
        ("Mia Maus", "Mia_Maus"),
        ("mia@example.com", "mia"),
        ("m(at)x", "m_at_x"),
        ("Zoë Ünal", "Zoe_Unal"),
        ("mm", "user_mm"),
        ("李", "user"),
        ("@", "user"),
        ("_" * 60, "user"),
        ("x" * 60, "x" * 50),
    ],
)
def test_username(name: str, expected: str) -> None:
    assert username(name) == expected
