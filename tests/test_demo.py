"""The demonstration: what there is in it, made once, by those whom its histories name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from db.models import Comment, Event, Project, Relation, Task, User
from db.models.milestones import Milestone
from db.models.projects import Membership
from services.demo.content import PEOPLE, PROJECTS
from tests.databases import empty_database
from tests.test_cli import Cli


@pytest.fixture
def shown(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    monkeypatch.chdir(tmp_path)
    with empty_database(backend, tmp_path) as url:
        yield Cli(url, {"SECRET_KEY": None, "ENVIRONMENT": None})


def test_logins_are_printed_and_work_on_what_was_made(shown: Cli) -> None:
    done = shown("demo")

    assert done.code == 0, done.errors
    password = done.output.partition("password ")[2].split()[0]
    assert [line.split()[0] for line in done.output.splitlines()[-len(PEOPLE) :]] == [each.username for each in PEOPLE]
    tokens = {each.username: shown.login(each.username, password).json()["access_token"] for each in PEOPLE}
    bearer = {"Authorization": f"Bearer {tokens['lena']}"}
    listed = shown.http("GET", "/tasks?limit=100&overdue=true&expand=assignees", headers=bearer).json()
    assert {task["ref"].partition("-")[0] for task in listed} == {"SHOP", "MOVE"}
    assert any(task["assignees"] for task in listed)
    counts = shown.http("GET", "/tasks/counts/status", headers=bearer).json()
    assert {group["key"] for group in counts} == {"pending", "in_progress", "completed", "cancelled"}
    assert done.output.count("tasks)") == len(PROJECTS)


def test_it_is_whole_and_its_histories_name_who_did_what(shown: Cli) -> None:
    shown("demo")

    for model, count in (
        (Project, len(PROJECTS) + len(PEOPLE)),  # with an Inbox each
        (Task, sum(len(project.tasks) for project in PROJECTS)),
        (Milestone, sum(len(project.milestones) for project in PROJECTS)),
        (Relation, sum(len(project.relations) for project in PROJECTS)),
        (Comment, sum(len(task.comments) for project in PROJECTS for task in project.tasks)),
        (Membership, sum(len(project.members) for project in PROJECTS) + len(PEOPLE)),
    ):
        assert shown.row(select(func.count()).select_from(model))[0] == count, model
    who = shown.row(select(func.count(Event.actor_id.distinct())).where(Event.kind == "task.updated"))[0]
    assert who > 3


def test_second_one_is_refused_by_name_and_changes_nothing(shown: Cli) -> None:
    shown("demo")
    before = shown.row(select(func.count()).select_from(Event))[0]

    told = shown("demo").refusal

    assert told.startswith("There is a demonstration here already, or what has its names: APP, MOVE, SHOP, jonas, ")
    assert shown.row(select(func.count()).select_from(Event))[0] == before


def test_nothing_stays_where_a_name_is_somebody_elses(shown: Cli) -> None:
    registered = shown.http("POST", "/users", json={"username": "Mia", "email": "m@example.com", "password": "x" * 12})
    assert registered.status_code == 201

    assert shown("demo").refusal.endswith("what has its names: Mia")
    assert shown.row(select(func.count()).select_from(User))[0] == 1


def test_production_wants_to_be_asked_twice(shown: Cli) -> None:
    assert shown("demo", ENVIRONMENT="production").refusal.startswith("This is a production server: ")
    assert shown.row(select(func.count()).select_from(User))[0] == 0
    assert shown("demo", "--in-production", ENVIRONMENT="production").code == 0
