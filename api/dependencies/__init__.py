"""What routes ask for, by FastAPI's ``Depends``: the caller, a session, preconditions, pages.

A dependency is a coroutine even where it waits for nothing: FastAPI calls any other one in a thread.
"""
