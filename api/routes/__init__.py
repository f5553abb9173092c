"""The REST door: the routes of every feature, which stand in the module of its name."""

from importlib import import_module

from fastapi import APIRouter
from fastapi.routing import APIRoute

from services.features import FEATURES
from services.shared.features import Feature


def router_of(feature: Feature) -> APIRouter:
    """The feature's router. Raises ``TypeError`` unless it has a route for each of the operations, and no other."""
    module = f"api.routes.{feature.name}"
    router = getattr(import_module(module), "router", None)
    if not isinstance(router, APIRouter):
        raise TypeError(f"{module} has no router")
    routes = {route.name for route in router.routes if isinstance(route, APIRoute)}
    if unequal := routes ^ {operation.rest for operation in feature.operations}:
        raise TypeError(f"not a route of {module} and an operation of its feature: {', '.join(sorted(unequal))}")
    return router


ROUTERS = tuple(map(router_of, FEATURES))
