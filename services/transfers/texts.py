"""What becomes of a source's texts, so that the API itself would take what is written."""

import re

from services.shared.text import as_line

# what nobody sees and a line doesn't need: soft hyphens, zero-width blanks, joints of words, byte order marks, and the
# marks that turn the direction of writing. The joiners of letters and emoji (U+200C, U+200D) stay.
_INVISIBLE = dict.fromkeys(
    (0xAD, 0x180E, 0x200B, *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x2070), 0xFEFF)
)
_BREAK = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_BREAKS = re.compile(rf"\s*[{_BREAK}][\s{_BREAK}]*")


def storable(text: str) -> str:
    """The text less what no database stores: U+0000 and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "ignore").decode("utf-8")


def one_line(text: str) -> str:
    """The text as the API takes a title or a name: one line, composed (NFC), without what nobody sees.

    Line breaks and control characters become a blank, with the blanks around them. Empty where nothing would show.
    """
    if not (text.isascii() and text.isprintable()):
        text = _BREAKS.sub(" ", text.translate(_INVISIBLE))
    return as_line(text)
