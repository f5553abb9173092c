"""An operation's variables and a field's arguments: coerced as graphql-core does it, what is usual by a shorter way.

Whatever is unusual (an error, a default, a variable inside of a literal) is left to graphql-core.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLSchema,
    GraphQLString,
    OperationDefinitionNode,
    Undefined,
    VariableNode,
    get_nullable_type,
    is_non_null_type,
    is_required_argument,
)

from graphql_compiler.execution import Execution
from graphql_compiler.inputs import Inputs, coerced
from graphql_compiler.private import (
    GraphQLVariableSignature,
    VariableValues,
    VariableValueSource,
    coerce_argument,
    get_argument_values,
    get_variable_signature,
    get_variable_values,
)
from graphql_compiler.selections import NotCompilable, mentions_variables

Arguments = Callable[[Execution], Mapping[str, Any]]
"""The arguments of a field in an execution."""

PLAIN: Mapping[Any, type] = {GraphQLString: str, GraphQLID: str, GraphQLInt: int, GraphQLBoolean: bool}
"""The scalars whose coercion leaves a value of that very type as it is (integers of 32 bits)."""
MAX_INT = 2**31 - 1


class Variables:
    """Coerces the variables of one operation (section 6.1.2, CoerceVariableValues).

    With ``inputs``, those that come again are not coerced again: for an operation that changes nothing in them.
    """

    def __init__(self, schema: GraphQLSchema, operation: OperationDefinitionNode, inputs: Inputs | None = None) -> None:
        self._schema, self._definitions = schema, operation.variable_definitions or ()
        self._coerce_input = coerced if inputs is None else inputs.coerced
        self._known: list[tuple[str, GraphQLVariableSignature, type | None, bool]] | None = []
        for definition in self._definitions:
            signature = get_variable_signature(schema, definition)
            if isinstance(signature, GraphQLError):
                self._known = None
                return
            plain = PLAIN.get(get_nullable_type(signature.type))
            may_lack = definition.default_value is None and not is_non_null_type(signature.type)
            self._known.append((signature.name, signature, plain, may_lack))

    def coerce(self, inputs: Mapping[str, Any], max_errors: int) -> list[GraphQLError] | VariableValues:
        """The values, or what is wrong with those that were given."""
        values = self._coerce(inputs)
        if values is None:
            return get_variable_values(self._schema, self._definitions, dict(inputs), max_errors, hide_suggestions=True)
        return values

    def _coerce(self, inputs: Mapping[str, Any]) -> VariableValues | None:
        """The values, where nothing is unusual."""
        if self._known is None:
            return None
        sources: dict[str, VariableValueSource] = {}
        values: dict[str, Any] = {}
        for name, signature, plain, may_lack in self._known:
            value: Any = inputs.get(name, Undefined)
            if value is Undefined:
                if not may_lack:
                    return None
                sources[name] = VariableValueSource(signature)
                continue
            sources[name] = VariableValueSource(signature, value)
            if type(value) is not plain or (plain is int and abs(cast(int, value)) > MAX_INT):
                value = self._coerce_input(value, signature.type)
                if value is Undefined:
                    return None
            values[name] = value
        return VariableValues(sources, values)


def arguments_of(field: GraphQLField, node: FieldNode) -> Arguments:
    """A field's arguments (section 6.4.1, CoerceArgumentValues): once, as far as no variable is in them.

    Raises ``NotCompilable`` where they cannot be read.
    """
    given = {argument.name.value: argument for argument in node.arguments or ()}
    fixed: dict[str, Any] = {}
    variable: list[tuple[str, str, GraphQLArgument]] = []
    for name, definition in field.args.items():
        argument = given.get(name)
        if argument is not None and mentions_variables(argument):
            if not isinstance(argument.value, VariableNode):
                return lambda execution: get_argument_values(field, node, execution.variables, None, True)
            variable.append((definition.out_name or name, argument.value.name.value, definition))
            argument = None
            if is_required_argument(definition):
                continue
        try:
            coerce_argument(fixed, node, name, definition, argument, None, None, True)
        except Exception as error:
            raise NotCompilable("an argument that cannot be read") from error
    if not variable:
        return lambda _execution: fixed

    def arguments(execution: Execution) -> Mapping[str, Any]:
        coerced = execution.variables.coerced
        values = fixed.copy()
        for name, source, definition in variable:
            if source in coerced:
                values[name] = value = coerced[source]
                if value is not None or not is_non_null_type(definition.type):
                    continue
            elif not is_required_argument(definition):
                continue
            return get_argument_values(field, node, execution.variables, None, True)
        return values

    return arguments
