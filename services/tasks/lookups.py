"""What a filter asks for that is looked up before it becomes a statement: words, and who or what hangs on few tasks.

A list of a few tasks is then found by their ids; what hangs on many is looked for task by task.
"""

from typing import Any

from db.sessions import AnySelect, Session
from db.statements import Prepared
from services.actors import Actor
from services.prepared import CALLER, parameter
from services.tasks.conditions import HELD_ALL, Condition
from services.tasks.sets import with_any
from services.tasks.stretches import Question, prepared
from services.tasks.words import MANY, Walk
from services.tasks.words import looked_up as words_looked_up


async def looked_up(session: Session, actor: Actor, question: Question, walk: Walk | None = None) -> Question:
    """The question with what can be looked up. Raises ``BadUserInput`` as ``words.looked_up`` does.

    ``walk`` is the page that is asked for, where the rest of the question is met early in its order as a rule.
    """
    if question.where is None:
        return question
    question = await words_looked_up(session, actor, question, walk)
    # SQLite looks for it task by task in any case
    return question if session.dialect == "sqlite" else await _sets_looked_up(session, actor, question)


async def _sets_looked_up(session: Session, actor: Actor, question: Question) -> Question:
    """The question with the ids of the tasks that have one of some tags or people, where these are few."""
    together = () if question.where is None else question.where.together
    if any(part.kind == HELD_ALL for part in together):
        return question  # they are few already
    for part in together:
        values = _values(part, actor)
        if values is None:
            continue
        ids = await _with_any(session, actor, part.kind[0], values)
        if len(ids) > MANY:
            continue
        held = Condition(HELD_ALL, (tuple(dict.fromkeys(ids)),))
        # several tags or people: all of them have to be there
        rest = [other for other in together if other is not part or (part.kind[1] == "all" and len(values) > 1)]
        return question._replace(where=Condition(("and_",), (), (held, *rest)) if rest else held)
    return question


def _values(part: Condition, actor: Actor) -> tuple[Any, ...] | None:
    """Of what one has to be there for a condition to hold; None for a condition that asks for no such thing."""
    if part.kind == ("assignees", "me", True):
        return (actor.user_id,)
    name, *rest = part.kind
    return part.values if name in {"assignees", "tags"} and rest in (["any"], ["all"]) else None


async def _with_any(session: Session, actor: Actor, name: str, values: tuple[Any, ...]) -> list[int]:
    """The ids of the tasks, and a few more than ``MANY`` of many."""

    def build() -> AnySelect:
        given = [parameter(f"s{number}") for number in range(len(values))]
        return with_any(name, CALLER, given).limit(parameter("most"))

    some: Prepared[Any] = prepared(("with", name, len(values)), build)
    sets = {f"s{number}": value for number, value in enumerate(values)}
    caller = {"caller_id": actor.user_id} if name == "tags" else {}
    return list(await session.scalars(some(**caller, **sets, most=MANY + 1)))
