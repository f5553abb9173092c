"""From a text to a document that holds no more than is read of it again.

graphql-core's nodes each hold two tokens, and all tokens of a document hold one another, in both directions: two thirds
of what a document takes, which only the garbage collector gives back. Here nodes know where they stand, and no tokens.
"""

from graphql import DocumentNode, Location, Token, TokenKind
from graphql.language.parser import Parser

MAX_NAME = 255
"""Characters of a name or an alias: an answer may hold one in each row."""
NO_TOKEN = Token(TokenKind.SOF, 0, 0, 0, 0)


class NameTooLong(Exception):
    """A name is longer than any need be; the message says which."""


def parse_document(text: str, max_tokens: int) -> DocumentNode:
    """As graphql-core's ``parse``, also in what it raises; and ``NameTooLong``."""
    parser = _Parser(text, max_tokens=max_tokens)
    first = parser.first_token
    try:
        document = parser.parse_document()
    finally:
        longest = _let_go(first)
    if len(longest) > MAX_NAME:
        raise NameTooLong(f"{longest[:50]}… has more than {MAX_NAME} characters")
    return document


class _Parser(Parser):
    @property
    def first_token(self) -> Token:
        return self._lexer.token

    def loc(self, start_token: Token) -> Location:
        """Where a node stands."""
        location = Location.__new__(Location)
        location.start, location.end = start_token.start, self._lexer.last_token.end
        location.source = self._lexer.source
        location.start_token = location.end_token = NO_TOKEN
        return location


def _let_go(first: Token) -> str:
    """Take tokens apart, so that each goes at once. Returns the longest name among them."""
    token: Token | None = first
    longest = ""
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        if token.kind is TokenKind.NAME and token.value is not None and len(token.value) > len(longest):
            longest = token.value
        token = following
    return longest
