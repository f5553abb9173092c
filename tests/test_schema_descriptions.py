"""The GraphQL schema says what everything in it is."""

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType

from graphql_schema.schema import schema


class TestDescriptions:
    def test_every_type_field_argument_and_value_has_one(self) -> None:
        without = []
        for name, kind in schema._schema.type_map.items():
            if name.startswith("__"):
                continue
            named = {name: kind.description}
            if isinstance(kind, GraphQLEnumType):
                named |= {f"{name}.{key}": value.description for key, value in kind.values.items()}
            elif isinstance(kind, GraphQLInputObjectType):
                named |= {f"{name}.{key}": value.description for key, value in kind.fields.items()}
            elif isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
                for key, field in kind.fields.items():
                    named[f"{name}.{key}"] = field.description
                    named |= {f"{name}.{key}({each})": arg.description for each, arg in field.args.items()}
            without += [place for place, description in named.items() if not description]
        assert without == []
