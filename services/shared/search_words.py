"""What a search looks for: the words of a text, and the phrases in it that stand in quotes."""

import re

from services.shared.text import fold, shows

MAX_WORDS = 20
"""In one search; a phrase in quotes is one of them."""
_WORD = re.compile(r'(?<!\S)"([^"]*)"(?!\S)|(\S+)')
"""Quotes hold a phrase together where blanks, or nothing, are around both of them: any others are letters."""


def words_of(text: str) -> tuple[str, ...]:
    """The words and phrases, folded, each once; of a text that shows something there is at least one."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(fold(text)):
        phrase = match[1]
        for word in [phrase] if phrase is not None and shows(phrase) else match[0].split():
            if shows(word):
                found[word] = None
    return tuple(found)
