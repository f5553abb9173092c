"""Nothing is forgotten: routers, schema parts, nodes, models, and for every operation of one door the other door's."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from graphql import GraphQLObjectType

import api.routes
import db.models
import graphql_schema
import services
from api.main import openapi_document
from api.openapi import operations
from db.models.base import Base
from graphql_schema.base import NODE_NAMES
from graphql_schema.nodes import LOADERS
from graphql_schema.schema import Mutation, Query, Subscription, schema
from tools.parity import GRAPHQL_ALONE, PAIRS, REST_ALONE

# modules of the services that are no feature of their own, and why
NO_FEATURES = {
    "connections": "what callers hold open",
    "prices": "what requests cost",
    "writing": "rows in the thousands",
    "accounts": "what operators do with accounts: the commands are its door",
    "actors": "who asks: part of every call",
    "authentication": "from credentials to an actor: both doors ask it before anything else",
    "errors": "what services refuse: each door says it in its own words",
    "failures": "what errors of the database mean: asked by both doors",
    "events": "written by every feature, read by history and the feed",
    "feed": "the order of events for those who follow them: subscriptions stand on it",
    "grouping": "how people and tags are put to their tasks",
    "idempotency": "a part of every call that creates",
    "idempotency_v1": "what releases before kept of such calls",
    "imports": "the commands are its door",
    "inputs": "the vocabulary of the features' inputs",
    "login_failures": "a part of every login, and of no door by itself",
    "node_ids": "the form of global ids",
    "outputs": "the vocabulary of the features' results",
    "pagination": "the pages of every list",
    "prepared": "what statements are built of",
    "probes": "bounds calls of several features, around them",
    "rate_limits": "counted by the middleware, before any feature",
    "readiness": "for whoever watches the process",
    "text": "what of texts is the same, and what shows nothing",
    "windows": "how rate limits are counted",
    "trash": "the operators' command is its door",
}
# what a feature has under another name, and where
ELSEWHERE = {
    ("history", "db/models"): "it reads db/models/events.py",
    ("security_events", "db/models"): "it reads db/models/events.py",
    ("members", "db/models"): "memberships stand beside the projects",
}


def _modules(package: ModuleType) -> dict[str, ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(package.__path__)]
    return {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}


def _fields(type_name: str) -> set[str]:
    type_ = schema._schema.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    return {f"{type_name}.{name}" for name in type_.fields}


class TestDoors:
    def test_every_rest_operation_has_its_graphql_field(self) -> None:
        named = {operation["operationId"] for _, _, operation in operations(openapi_document())}

        assert named == PAIRS.keys() | REST_ALONE.keys()

    def test_every_graphql_root_field_has_its_rest_operation(self) -> None:
        roots = _fields("Query") | _fields("Mutation") | _fields("Subscription")

        assert roots == {field for field in PAIRS.values() if field.split(".")[0] in ROOTS} | GRAPHQL_ALONE.keys()

    def test_every_field_of_the_table_exists(self) -> None:
        for field in PAIRS.values():
            assert field in _fields(field.split(".")[0])

    def test_exceptions_are_few(self) -> None:
        assert len(REST_ALONE) <= 5
        assert len(GRAPHQL_ALONE) <= 5


ROOTS = {"Query", "Mutation", "Subscription"}


class TestRegistrations:
    def test_every_router_is_mounted(self) -> None:
        mounted = {id(router) for router in api.routes.ROUTERS}
        for name, module in _modules(api.routes).items():
            router: Any = getattr(module, "router", None)
            assert isinstance(router, APIRouter), name
            assert id(router) in mounted or name == "meta", f"api/routes/{name}.py is not in ROUTERS"

    def test_every_route_has_a_function_and_a_description(self) -> None:
        for route in iter_route_contexts([route for router in api.routes.ROUTERS for route in router.routes]):
            assert (route.endpoint.__doc__ or "").strip(), route.name

    @pytest.mark.parametrize(
        ("suffix", "root"), [("Queries", Query), ("Mutations", Mutation), ("Subscriptions", Subscription)]
    )
    def test_every_part_of_the_schema_is_in_it(self, suffix: str, root: type) -> None:
        for name, module in _modules(graphql_schema).items():
            for attribute, value in vars(module).items():
                if attribute.endswith(suffix) and isinstance(value, type) and value.__module__ == module.__name__:
                    assert issubclass(root, value), f"graphql_schema/{name}.py: {attribute} is not in {root.__name__}"

    def test_every_node_can_be_fetched_by_its_id(self) -> None:
        implementing = {
            name
            for name, type_ in schema._schema.type_map.items()
            if isinstance(type_, GraphQLObjectType) and any(face.name == "Node" for face in type_.interfaces)
        }

        assert implementing == set(LOADERS) == set(NODE_NAMES.values())

    def test_every_model_is_registered(self) -> None:
        declared = {mapper.class_.__name__ for mapper in Base.registry.mappers}
        for module in _modules(db.models).values():
            for value in vars(module).values():
                if isinstance(value, type) and issubclass(value, Base) and value is not Base:
                    assert value.__name__ in db.models.__all__
        assert declared == set(db.models.__all__) - {"Base"}

    def test_a_feature_has_the_same_name_in_every_layer(self) -> None:
        layers = {
            "db/models": set(_modules(db.models)),
            "api/routes": set(_modules(api.routes)),
            "graphql_schema": set(_modules(graphql_schema)),
            "tests": {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")},
        }
        features = set(_modules(services)) - NO_FEATURES.keys()
        lacking = {(name, layer) for name in features for layer, modules in layers.items() if name not in modules}

        assert lacking == ELSEWHERE.keys()
        assert layers["api/routes"] - features == {"admin", "meta"}, "a route module without a service of its name"
        alone = layers["db/models"] - set(_modules(services))
        assert alone == {"base"}, "a model without a service of its name"
        assert set(_modules(services)) >= NO_FEATURES.keys(), "an exception for what is not there any more"
