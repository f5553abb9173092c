"""How HTTP is served: what a connection may ask of the process before the application hears of it.

``protocol`` is the class that uvicorn is given (``--http api.server.protocol:Protocol``), ``door`` what its connections
share, ``places`` who is let in, ``server`` how the process ends, ``python -m api.server`` all of it together.
Nothing here knows the application: it hands its bounds over in the lifespan's state.
"""
