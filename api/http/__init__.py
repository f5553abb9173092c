"""The machinery of the REST door: from a route as FastAPI declares it to a function that answers a request."""
