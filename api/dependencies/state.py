"""What the application holds for its lifetime."""

from typing import Annotated

from fastapi import Depends, Request

from api.state import State


async def get_state(request: Request) -> State:
    # request.app.state.tandem, which Starlette looks for in three steps
    state: State = request.scope["app"].tandem
    return state


AppState = Annotated[State, Depends(get_state)]
