"""Nothing is forgotten: routers, schema parts, nodes, models, and for every operation of one door the other door's."""

import importlib
import pkgutil
import subprocess
import sys
from dataclasses import replace
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
from graphql_schema.schema import Mutation, Query, Subscription, schema
from graphql_schema.shared.base import NODE_NAMES
from graphql_schema.shared.parts import extend, parts_of, root_type
from graphql_schema.tags import TagQueries
from services import tags
from services.features import FEATURES, NODES
from services.shared.features import Feature, Operation, Who, registered
from tests.conftest import ROOT
from tools.parity import GRAPHQL_ALONE, PAIRS, REST_ALONE, SHORTHANDS

# modules of the services that are no feature of their own, and why
NO_FEATURES = {
    "account_tokens": "what reset tokens and invitations have in common",
    "accounts": "what operators do with accounts: the commands are its door",
    "allowances": "counted around calls, before any feature",
    "authentication": "from credentials to an actor: both doors ask it before anything else",
    "demo": "the operators' command is its door",
    "doctor": "the operators' command is its door",
    "invitations": "a part of registration; operators make them by a command",
    "connections": "what callers hold open",
    "mailing": "how notifications are sent; the preferences say what",
    "jobs": "what is done beside the requests, for any feature",
    "list_states": "whether what is read may have changed: REST answers 304 by it",
    "events": "written by every feature, read by history and the feed",
    "purge": "the operators' command is its door",
    "readiness": "for whoever watches the process",
    "features": "the list of the features",
    "shared": "the vocabulary of the features",
    "transfers": "the commands are its door",
    "upkeep": "what the worker does without anybody's asking",
    "work": "the worker, put together from the settings: an operators' command runs it",
    "work_figures": "for whoever watches the worker",
}
# modules of routes that have none, and why
NO_ROUTES = {"task_parameters": "what several routes of tasks take"}
# what a feature has under another name, and where
ELSEWHERE = {
    ("admin", "db/models"): "its operations are on users and tasks",
    ("admin", "graphql_schema"): "its operations are on users and tasks",
    ("changes", "db/models"): "it reads db/models/events.py",
    ("history", "db/models"): "it reads db/models/events.py",
    ("live_lists", "db/models"): "it reads db/models/tasks.py",
    ("email_verifications", "db/models"): "its tokens are in db/models/account_tokens.py",
    ("password_resets", "db/models"): "its tokens are in db/models/account_tokens.py",
    ("security_events", "db/models"): "it reads db/models/events.py",
    ("members", "db/models"): "memberships stand beside the projects",
}

# models whose service is no feature, and whose
ALONE = {
    "consumers": "services/events/consumers.py",
    "former_refs": "services/tasks/moving.py",
    "idempotency": "services/shared/idempotency.py",
    "imports": "services/transfers",
    "login_failures": "services/allowances/login_failures.py",
    "mails": "services/mailing",
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

        paired = {field for field in PAIRS.values() if field.split(".")[0] in ROOTS}

        assert roots == paired | SHORTHANDS.keys() | GRAPHQL_ALONE.keys()

    def test_every_field_of_the_table_exists(self) -> None:
        for field in PAIRS.values():
            assert field in _fields(field.split(".")[0])

    def test_exceptions_are_few(self) -> None:
        assert len(REST_ALONE) <= 5
        assert len(GRAPHQL_ALONE) <= 5


ROOTS = {"Query", "Mutation", "Subscription"}


TWICE = Feature("tags", (Operation("label", "Mutation.label", Who.MEMBER),))


class TestRefusals:
    @pytest.mark.parametrize(
        ("features", "message"),
        [
            ([TWICE, replace(TWICE, operations=())], "registered twice as a feature: tags"),
            ([TWICE, replace(TWICE, name="labels")], "registered twice as an operation: label"),
            (
                [replace(tags.FEATURE, operations=()), replace(tags.FEATURE, name="labels", operations=())],
                "node type: Tag",
            ),
            (
                [replace(TWICE, limits={"x": 1}), Feature("labels", (), limits={"x": 2})],
                "registered twice as a limit: x",
            ),
        ],
    )
    def test_what_is_registered_twice(self, features: list[Feature], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            registered(*features)

    @pytest.mark.parametrize(
        ("feature", "message"),
        [
            (Feature("task_parameters", ()), "api.routes.task_parameters has no router"),
            (replace(tags.FEATURE, operations=tags.FEATURE.operations[1:]), "feature: list_tags"),
            (replace(tags.FEATURE, operations=(*tags.FEATURE.operations, *TWICE.operations)), "feature: label"),
        ],
    )
    def test_routes_that_are_no_operations_and_the_other_way_round(self, feature: Feature, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            api.routes.router_of(feature)

    def test_module_of_the_schema_without_a_part(self) -> None:
        with pytest.raises(TypeError, match=r"graphql_schema.task_lists has no PART"):
            parts_of([Feature("task_lists", ())])

    def test_root_field_that_two_modules_have(self) -> None:
        with pytest.raises(TypeError, match="TagQueries and TagQueries have a field tag"):
            root_type("Query", "Twice.", [TagQueries, TagQueries])

    def test_field_that_the_extended_type_has(self) -> None:
        with pytest.raises(TypeError, match="TagQueries has a field tag already"):
            extend({TagQueries: TagQueries})


class TestRegistrations:
    def test_every_router_is_mounted(self) -> None:
        mounted = {id(router) for router in api.routes.ROUTERS}
        for name, module in _modules(api.routes).items():
            if name in NO_ROUTES:
                continue
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

        assert implementing == NODES.keys() == set(NODE_NAMES.values())

    def test_every_model_is_seen_by_whoever_imports_the_models(self) -> None:
        """Alembic does: what no module of theirs imports, it would not create."""
        script = "import db.models; print(*db.models.Base.metadata.tables)"
        seen = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        _modules(db.models)
        assert set(seen.stdout.split()) == Base.metadata.tables.keys()

    def test_a_feature_has_the_same_name_in_every_layer(self) -> None:
        layers = {
            "db/models": set(_modules(db.models)),
            "api/routes": set(_modules(api.routes)) - NO_ROUTES.keys(),
            "graphql_schema": set(_modules(graphql_schema)),
            "tests": {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")},
        }
        features = {feature.name for feature in FEATURES}
        lacking = {(name, layer) for name in features for layer, modules in layers.items() if name not in modules}

        assert lacking == ELSEWHERE.keys()
        assert features == set(_modules(services)) - NO_FEATURES.keys(), (
            "a service that is no feature, or none of that name"
        )
        assert layers["api/routes"] - features == {"meta"}, "a route module without a service of its name"
        alone = layers["db/models"] - set(_modules(services))
        assert alone == ALONE.keys() | {"base"}, "a model without a service of its name"
        assert set(_modules(services)) >= NO_FEATURES.keys(), "an exception for what is not there any more"
