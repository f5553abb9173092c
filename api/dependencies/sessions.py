"""Sessions of the database: reading one statement at a time, or writing in the transaction of the request."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from api.dependencies.state import AppState
from db.driver.sessions import Session


async def _reading(state: AppState) -> Session:
    return state.database.reads


async def _writing(state: AppState) -> AsyncIterator[Session]:
    async with state.database.writing() as session:
        yield session


# the scope makes a write commit before its response starts
ReadSession = Annotated[Session, Depends(_reading)]
WriteSession = Annotated[Session, Depends(_writing, scope="function")]
