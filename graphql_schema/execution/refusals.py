"""What is wrong with the arguments that an operation was sent: all of it at once, in the words of the services' models.

GraphQL coerces variables before anything is executed, in sentences of its own, and what it refuses hides what the
service would say of the rest. So what was sent is validated here as REST validates a body, by the same models, and the
problems are the same. Only a request that is refused in any case, or that may hold what no text can, comes this way.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, cast

from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    Undefined,
    VariableNode,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
    is_required_input_field,
    type_from_ast,
)
from graphql.execution.values import input_is_nested_too_deeply
from graphql.utilities import coerce_input_value
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, create_model
from strawberry.pydantic.conversion import build_pydantic_model

from core.sentences import SENTENCES, words_for
from graphql_schema.execution.errors import RefusedArguments
from graphql_schema.execution.variables import Call, argument_pointer, calls, sent, variable_pointers, with_defaults
from services.shared.errors import MAX_MISTAKES, MAX_PROBLEMS, TOO_MANY_MISTAKES, Detail, Problem, to_pointer, type_of
from services.shared.inputs import Bool, Input, Int, Text, Whole
from services.shared.moments import DayMoment, Moment
from services.shared.pagination import MAX_LIMIT

SCALARS: Mapping[str, object] = {
    **{"Int": Int, "String": Text, "ID": Text, "Boolean": Bool},
    **{"DateTime": Moment, "Date": DayMoment},
}
"""What is valid for a scalar where no model says more."""
SIZES = frozenset({"first", "last"})
REQUIRED = SENTENCES["missing"]
PageSize = Annotated[int, Field(strict=True, ge=0, le=MAX_LIMIT), Whole]
"""What is valid for the size of a page, REST's limit."""
MAX_LOOKED_AT = 1_500
"""How many items of a list, or unknown names, are looked at: no model takes as many."""
MAX_CONVERTED = 250_000
"""How many values are looked at in all, of one argument and of all of them: more than any model takes."""
# where no model bounds a list, its first items are enough to look at
_SOME = BeforeValidator(lambda items: items[:MAX_LOOKED_AT] if isinstance(items, list) else items)
# before a name that a type doesn't have, which may be the service's own for another one
_UNKNOWN = "\0"


class _NoValue:
    """In the place of what only GraphQL refuses as a value of a leaf: no model takes this for one."""

    def __init__(self, given: object) -> None:
        self.given = given


class Refusals:
    """Says what is wrong with the arguments of operations of one schema."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._adapters: dict[tuple[str, str], TypeAdapter[object]] = {}

    def of(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        variables: Mapping[str, object],
        *,
        literals: bool = False,
    ) -> list[GraphQLError]:
        """The errors of an operation of a valid document: one for each field whose arguments are refused. Those that
        hold no variable, only for ``literals``: they may break a rule of the service's, which validation knows not.

        The type that a variable is declared with may ask for more than that of the argument: null where it may be left
        out, say. Such an error is the variable's.
        """
        found = calls(self._schema, document, operation, all_=literals)
        given = with_defaults(operation, variables)
        refused = self._of_calls(found, given)
        errors = [_error(call.node, problems) for call, problems in refused]
        seen = {problem.pointer for _, problems in refused for problem in problems}
        pointers = variable_pointers(found)
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            type_ = cast(GraphQLInputType, type_from_ast(self._schema, definition.type))  # of a valid document
            problems = self._of_variable(type_, given.get(name, Undefined), pointers.get(name, ""))
            if problems and seen.isdisjoint(problem.pointer for problem in problems):
                errors.append(_error(definition, problems))
        return errors

    def of_long_lists(
        self, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, object]
    ) -> list[GraphQLError]:
        """The errors of the fields that are given a list longer than the service takes, found without looking far."""
        refused = self._of_calls(calls(self._schema, document, operation), with_defaults(operation, variables))
        return [
            _error(call.node, problems)
            for call, problems in refused
            if any(problem.type == "too_long" for problem in problems)
        ]

    def _of_calls(self, found: Sequence[Call], given: Mapping[str, object]) -> list[tuple[Call, list[Problem]]]:
        """What is wrong with each call. A variable that many calls are given in one place is looked at once."""
        refused = []
        known: dict[tuple[str, str, int], list[Problem]] = {}
        left = MAX_CONVERTED
        for call in found:
            problems: list[Problem] = []
            nodes = {node.name.value: node.value for node in call.node.arguments or ()}
            for name, argument in call.arguments.items():
                value = sent(nodes[name], given) if name in nodes else Undefined
                if value is Undefined:
                    if is_required_argument(argument):
                        problems.append(Problem(argument_pointer(name), REQUIRED, "missing"))
                    continue
                # of variables there is one value, of which nothing changes meanwhile; anything else is made anew
                key = (str(argument.type), name, id(value)) if isinstance(nodes[name], VariableNode) else None
                if key is None or key not in known:
                    if left <= 0:
                        continue
                    left -= size_of(value, left)
                    told = [*self._of_value(argument.type, value, argument_pointer(name), name)]
                    if key is not None:
                        known[key] = told
                else:
                    told = known[key]
                problems += told
            if problems:
                refused.append((call, problems))
        return refused

    def _of_variable(self, type_: GraphQLInputType, value: object, pointer: str) -> list[Problem]:
        if value is Undefined:
            return [Problem(pointer, REQUIRED, "missing")] if is_non_null_type(type_) else []
        if input_is_nested_too_deeply(value, type_):
            return [*self._of_value(type_, value, pointer)] or [Problem(pointer, SENTENCES["recursion_loop"])]
        if coerce_input_value(value, type_) is Undefined:
            return [*self._of_value(type_, value, pointer)]
        return []

    def _of_value(self, type_: GraphQLInputType, value: object, pointer: str, argument: str = "") -> Iterator[Problem]:
        """The problems of a value: of an ``argument``, if it has a name."""
        key = str(type_), argument if argument in SIZES else ""
        adapter = self._adapters.get(key)
        if adapter is None:
            adapter = self._adapters[key] = TypeAdapter(PageSize | None if key[1] else _annotation(type_))
        try:
            adapter.validate_python(_converted(type_, value), by_alias=False, by_name=True)
        except ValidationError as error:
            if error.error_count() > MAX_MISTAKES:
                yield Problem(pointer, TOO_MANY_MISTAKES.detail, TOO_MANY_MISTAKES.type)
                return
            for index, detail in enumerate(error.errors(include_url=False)):
                path, at = _located(type_, detail["loc"])
                kind = type_of(detail)
                # more are not told, and looking for what was meant takes time
                words = _words(detail, path, at) if index < MAX_PROBLEMS else ""
                yield Problem(pointer + to_pointer(path), words, kind)


def size_of(value: object, most: int) -> int:
    """How many values there are in one, itself among them; counted no further than ``most``."""
    size, stack = 0, [value]
    while stack and size < most:
        item = stack.pop()
        size += 1
        if type(item) is dict:
            stack += item.values()
        elif type(item) is list:
            stack += item
    return size


def _words(detail: Detail, path: Sequence[str | int], at: object) -> str:
    """The sentence, with names in GraphQL's spelling, those of the type that the path leads to."""
    names = [*at.fields] if is_input_object_type(at) else [*at.values] if is_enum_type(at) else []
    given = detail["input"]
    changed = {"loc": path, "input": given.given if isinstance(given, _NoValue) else given}
    return words_for({**detail, **changed}, names=names)


def _error(node: Node, problems: Sequence[Problem]) -> GraphQLError:
    return GraphQLError("", node, original_error=RefusedArguments(problems))


def _annotation(type_: object) -> Any:
    """What pydantic is to validate for a GraphQL type."""
    if isinstance(type_, GraphQLNonNull):
        return _annotation_of_some(type_.of_type)
    return _annotation_of_some(type_) | None


def _annotation_of_some(type_: object) -> Any:
    if isinstance(type_, GraphQLList):
        return Annotated[list[_annotation(type_.of_type)], _SOME]  # type: ignore[misc]  # a type made at run time
    if isinstance(type_, GraphQLEnumType):
        return type_.extensions["strawberry-definition"].wrapped_cls
    if not isinstance(type_, GraphQLInputObjectType):
        return SCALARS.get(str(type_), Any)
    definition = type_.extensions["strawberry-definition"]
    if definition.from_input is build_pydantic_model:
        return definition.origin
    fields: dict[str, Any] = {
        _python_name(name, field): (_annotation(field.type), ... if is_required_input_field(field) else None)
        for name, field in type_.fields.items()
    }
    return create_model(type_.name, __base__=Input, **fields)


def _converted(type_: object, value: object) -> object:
    """What was sent, under the names and with the values that the services have for it.

    Not by recursion: how deep a value may be is the models' to say. Beyond ``MAX_LOOKED_AT`` it stays as it is.
    """
    result: list[object] = [None]
    stack: list[tuple[object, object, Any, object]] = [(type_, value, result, 0)]
    left = MAX_CONVERTED
    while stack and left:
        type_, value, into, key = stack.pop()
        type_ = _nullable(type_)
        left -= 1
        if value is None:
            into[key] = None
        elif is_list_type(type_):
            into[key] = items = [*value] if isinstance(value, list) else [value]  # section 3.11: a list of one
            stack.extend((type_.of_type, item, items, index) for index, item in enumerate(items[:MAX_LOOKED_AT]))
        elif not is_input_object_type(type_):
            into[key] = _converted_leaf(type_, value)
        elif isinstance(value, dict):
            unknown = (name for name in value if name not in type_.fields)
            into[key] = fields = {_UNKNOWN + name: value[name] for name in islice(unknown, MAX_LOOKED_AT)}
            stack.extend(
                (field.type, value[name], fields, _python_name(name, field))
                for name, field in type_.fields.items()
                if name in value
            )
        else:
            into[key] = value
    return result[0]


def _converted_leaf(type_: Any, value: object) -> object:
    if isinstance(value, (dict, list)) and (is_enum_type(type_) or type_.name in SCALARS):
        return value if is_enum_type(type_) else _NoValue(None)  # GraphQL would write all of it into its sentence
    try:
        coerced = type_.coerce_input_value(value)
    except Exception:
        coerced = Undefined
    if coerced is not Undefined:
        return coerced
    if type_ is GraphQLInt and isinstance(value, float) and value.is_integer() and abs(value) >= 2**64:
        value = int(value)  # as it was written: orjson reads no larger integers
    # a number that is too large is told its bounds, and what no service takes for a value of an enum all of them
    too_large = type_ is GraphQLInt and type(value) is int
    return value if too_large or (is_enum_type(type_) and value not in _values(type_)) else _NoValue(value)


def _located(type_: object, location: Sequence[str | int]) -> tuple[list[str | int], object]:
    """The path in GraphQL's names, as far as it can be told, and the type that it leads to."""
    path: list[str | int] = []
    for part in location:
        type_ = _nullable(type_)
        if is_list_type(type_) and isinstance(part, int):
            path.append(part)
            type_ = type_.of_type
        elif is_input_object_type(type_) and isinstance(part, str):
            if part.startswith(_UNKNOWN):
                path.append(part.removeprefix(_UNKNOWN))
                break
            names = {_python_name(name, field): name for name, field in type_.fields.items()}
            if part not in names:
                break
            path.append(names[part])
            type_ = type_.fields[names[part]].type
        else:
            break
    return path, _nullable(type_)


def _nullable(type_: object) -> object:
    return type_.of_type if isinstance(type_, GraphQLNonNull) else type_


def _python_name(name: str, field: GraphQLInputField) -> str:
    definition = field.extensions.get("strawberry-definition")
    return name if definition is None else cast(str, definition.python_name)


def _values(type_: GraphQLEnumType) -> list[object]:
    """How the service, and REST, spell the values of an enum."""
    members = (member.value for member in type_.values.values())
    return [getattr(member, "value", member) for member in members]
