"""GraphQL documents that nobody writes by accident, as large as may be, and some that people do write."""

from collections.abc import Callable, Iterator
from functools import partial

from graphql import Lexer, Source, TokenKind, get_introspection_query

from graphql_schema.execution.limits import Limits

SIZE = 64 * 1024
Unit = str | Callable[[int], str]


def tokens(text: str) -> int:
    lexer, count = Lexer(Source(text)), 0
    while lexer.advance().kind is not TokenKind.EOF:
        count += 1
    return count


def full(unit: Unit, before: str = "{", after: str = "}", *, parsed: bool = True) -> str:
    """A document filled with a unit, to 64 KB or to the number of tokens that is still parsed."""
    make = unit if callable(unit) else lambda _: unit
    number = SIZE // len(make(0))
    if parsed:
        number = min(number, (Limits().tokens - tokens(before) - tokens(after)) // tokens(make(0)))
    text = "".join(map(make, range(number)))
    while len(before) + len(text) + len(after) > SIZE:
        number -= number // 50 + 1
        text = "".join(map(make, range(number)))
    return before + text + after


def fragments(number: int, body: Callable[[int], str], type_name: str = "Query") -> str:
    return "".join(f"fragment F{index} on {type_name} {{ {body(index)} }} " for index in range(number))


def spreads(number: int) -> str:
    return "".join(f"...F{index} " for index in range(number))


def _repeated() -> Iterator[tuple[str, Unit, str, str]]:
    """Names, units, and what stands around them."""
    yield "same field", "me{id}", "{", "}"
    yield "same leaf", "__typename ", "{", "}"
    yield "aliases", lambda i: f"a{i}:me{{id}} ", "{", "}"
    yield "aliases of a list", lambda i: f"a{i}:tasks(first:100){{edges{{node{{id}}}}}} ", "{", "}"
    yield "unknown fields", lambda i: f"u{i} ", "{", "}"
    yield "same unknown field", "u ", "{", "}"
    yield "long unknown fields", lambda i: f"{'u' * 200}{i} ", "{", "}"
    yield "inline fragments", "...{me{id}}", "{", "}"
    yield "typed inline fragments", "...on Query{me{id}}", "{", "}"
    yield "inline leaves", "...{__typename}", "{", "}"
    yield "inline connections", "...{tasks{edges{node{project{tasks{edges{node{id}}}}}}}}", "{", "}"
    yield "inline conflicts", lambda i: f"...{{a:tasks(first:{i}){{edges{{node{{id}}}}}}}}", "{", "}"
    yield "impossible spreads", "...on Task{id}", "{", "}"
    yield "unknown types", lambda i: f"...on T{i}{{id}}", "{", "}"
    yield "unknown fragments", lambda i: f"...F{i} ", "{", "}"
    yield "same fragment", "...F ", "{", "}fragment F on Query{__typename}"
    yield "unused fragment", "...{me{id}}", "{__typename}fragment F on Query{", "}"
    yield "other operation", "...{me{id}}", "query A{__typename}query B{", "}"
    yield "operations", lambda i: f"query Q{i}{{__typename}}", "", ""
    yield "operations of one name", "query Q{__typename}", "", ""
    yield "fragments of one name", "fragment F on Query{__typename}", "{...F}", ""
    yield "no sub-selections", "me ", "{", "}"
    yield "sub-selections of leaves", "__typename{a}", "{", "}"
    yield "lacking arguments", "task{id}", "{", "}"
    yield "unknown arguments", lambda i: f"a{i}:1 ", "{me(", "){id}}"
    yield "same argument", "first:1 ", "{tasks(", "){totalCount}}"
    yield "undefined variables", lambda i: f"a{i}:$v{i} ", "{me(", "){id}}"
    yield "unused variables", lambda i: f"$v{i}:Int ", "query(", "){__typename}"
    yield "same variable", "$v:Int ", "query(", "){__typename}"
    yield "variables of unknown types", lambda i: f"$v{i}:T{i} ", "query(", "){__typename}"
    yield "variables with defaults", lambda i: f"$v{i}:TaskFilter={{a:1}} ", "query(", "){__typename}"
    yield "directives", "@skip(if:true)", "{me", "{id}}"
    yield "unknown directives", lambda i: f"@d{i} ", "{me", "{id}}"
    yield "ids", '"a" ', "{nodes(ids:[", "]){id}}"
    yield "wrong ids", "{} ", "{nodes(ids:[", "]){id}}"
    yield "filters", "{priority:{eq:1}}", "{tasks(filter:{or:[", "]}){totalCount}}"
    yield "unknown keys", lambda i: f"k{i}:1 ", "{tasks(filter:{", "}){totalCount}}"
    yield "same key", "search:1 ", "{tasks(filter:{", "}){totalCount}}"
    yield "wrong enum values", "X ", "{tasks(filter:{status:{in:[", "]}}){totalCount}}"
    yield "mutations", 'login(input:{username:"a",password:"b"}){accessToken}', "mutation{", "}"
    yield "subscriptions", "...{taskCreated{id}}", "subscription{", "}"
    yield "introspection", "...{__schema{types{fields{type{fields{name}}}}}}", "{", "}"


def hostile_documents() -> dict[str, Callable[[], str]]:
    """By name, each to be made when it is wanted: at full size, and where that has too many tokens also as large as it
    may be."""
    found: dict[str, Callable[[], str]] = {}
    for name, unit, before, after in _repeated():
        found[name] = partial(full, unit, before, after, parsed=False)
        found[f"{name}, parsed"] = partial(full, unit, before, after)
    many, last = 230, 229
    found |= {
        "doubling fragments": lambda: (
            "{...F0}" + fragments(many, lambda i: f"...F{i + 1} ...F{i + 1}" if i < last else "a")
        ),
        "cycles": lambda: "{...F0}" + fragments(many, lambda i: f"...F{(i + 1) % many} ...F{(i + 7) % many}"),
        "unused cycles": lambda: "{a}" + fragments(many, lambda i: f"...F{(i + 1) % many} ...F{(i + 7) % many}"),
        "chain": lambda: "{...F0}" + fragments(many, lambda i: f"...F{i + 1}" if i < last else "a"),
        "fragments side by side": lambda: f"{{{spreads(many)}}}" + fragments(many, lambda _: "me{id}"),
        "conflicting fragments": lambda: (
            f"{{{spreads(99)}}}" + fragments(99, lambda i: f"a:tasks(first:{i}){{totalCount}}")
        ),
        "every fragment in every other": lambda: (
            "{...F0}" + fragments(38, lambda i: " ".join(f"...F{other}" for other in range(i + 1, 38)) + " __typename")
        ),
        "operations on one fragment": lambda: (
            "".join(f"query Q{i}($v:ID!){{...F0}}" for i in range(25))
            + fragments(1, lambda _: "nodes(ids:[" + "$v " * 450 + "]){id}")
        ),
        "operations on many fields": lambda: (
            "".join(f"query Q{i}{{...F0}}" for i in range(25)) + fragments(1, lambda _: "...{me{id}}" * 400)
        ),
        "deep selections": lambda: "{a" * 10_000 + "}" * 10_000,
        "unclosed selections": lambda: "{a" * 30_000,
        "deep lists": lambda: "{nodes(ids:" + "[" * 30_000 + "]" * 30_000 + "){id}}",
        "deep filters": lambda: "{tasks(filter:" + "{and:[" * 90 + "{}" + "]}" * 90 + "){totalCount}}",
        "deep introspection": lambda: "{__schema{types{" + "fields{type{" * 40 + "name" + "}}" * 40 + "}}}",
        "long name": lambda: "{" + "a" * 65_000 + "}",
        "long number": lambda: "{tasks(first:" + "9" * 65_000 + "){totalCount}}",
        "long numbers": lambda: full("9" * 4_200 + " ", "{nodes(ids:[", "]){id}}"),
        "long float": lambda: "{tasks(first:" + "9" * 65_000 + ".5e5){totalCount}}",
        "long string": lambda: '{node(id:"' + "a" * 65_000 + '"){id}}',
        "escapes": lambda: '{node(id:"' + "\\u0041" * 10_900 + '"){id}}',
        "block string": lambda: '{node(id:"""' + "\n  a" * 16_000 + '"""){id}}',
        "blank lines": lambda: '{node(id:"""' + "\n" * 65_000 + '"""){id}}',
        "comments": lambda: "{__typename}" + "#\n" * 32_000,
        "long comment": lambda: "{__typename}#" + "x" * 65_000,
        "commas": lambda: "{__typename" + "," * 65_000 + "}",
        "byte order marks": lambda: "{__typename}" + "\ufeff" * 20_000,
        "braces": lambda: "{" * 65_000,
        "marks": lambda: "!" * 65_000,
    }
    return found


def _components(number: int) -> str:
    """A page put together from components with a fragment each, as Relay's compiler and Apollo's codegen write it."""
    return (
        "query Page($first: Int = 20, $after: String, $mine: Boolean!) { tasks(first: $first, after: $after) {"
        f" edges {{ cursor node {{ __typename {spreads(number)} }} }} pageInfo {{ hasNextPage endCursor }} }}"
        " me @include(if: $mine) { id username } } "
    ) + fragments(
        number,
        lambda i: (
            "id __typename title status priority dueAt assignees { id username } project { id key name }"
            + (f" ...F{i * 3 + 1}" if i * 3 + 1 < number and i else "")
        ),
        "Task",
    )


def ordinary_documents() -> dict[str, str]:
    """What tools and clients send."""
    options = dict.fromkeys(("specified_by_url", "directive_is_repeatable", "schema_description"), True)
    arguments = "args { name type { name kind ofType { name } } defaultValue }"
    revoke = 'revokeToken(input: {refreshToken: "x"}) { revoked }'
    author = "author { username }"
    create = "createTask(input: {title: $title, priority: 3}) { task { id ref title } }"
    return {
        "introspection": get_introspection_query(),
        "full introspection": get_introspection_query(**options, input_value_deprecation=True),
        "type of an editor": f'{{ __type(name: "Task") {{ name fields {{ name {arguments} type {{ kind }} }} }} }}',
        "a page of components": _components(12),
        "a large page of components": _components(40),
        "twenty mutations": "mutation M($title: String!) {" + "".join(f" m{i}: {create}" for i in range(20)) + " }",
        "tasks in full": "{ tasks(first: 100) { edges { node { id title project { key } assignees { username }"
        f" tags {{ name }} commentCount comments(first: 3) {{ edges {{ node {{ body {author} }} }} }} }} }} }} }}",
        "a board": "{ projects { edges { node { name members { edges { node { role } } } tasks { edges { node { title"
        " comments { edges { node { body } } } } } } } } } }",
        "a tab of an editor": "".join(f"query Q{i} {{ me {{ id }} }} mutation M{i} {{ {revoke} }}" for i in range(10)),
    }
