"""Text that people compare: which of it is the same, and which of it shows nothing.

The same words come in several encodings (é is one character or two, by keyboard and system). Names are kept composed
(NFC, UAX #15), and compared without case as section 3.13 of the Unicode standard (D145) has it.
"""

import re
import unicodedata
from functools import lru_cache

_BLANK = r"\t-\r \u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"
"""White_Space (UAX #44, PropList.txt)."""
_IGNORABLE = (
    r"\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u3164"
    r"\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A\U000E0000-\U000E0FFF"
)
"""Default_Ignorable_Code_Point (UAX #44, DerivedCoreProperties.txt of Unicode 16): soft hyphens, zero-width spaces,
marks of direction, fillers, variation selectors, tags."""
_EMPTY = r"\x00-\x1F\x7F-\x9F\u2800\uFFF9-\uFFFB\U00013430-\U0001343F\U00016FE4\U0001D159"
"""Besides: controls (Cc), the other format characters (Cf) but those that are drawn (Prepended_Concatenation_Mark), and
characters whose glyph is empty: the blank of Braille, a filler of Khitan, the null notehead."""
INVISIBLE = _BLANK + _IGNORABLE + _EMPTY
"""What shows nothing, as the inside of a class of characters in a regular expression."""

_SHOWS = re.compile(f"[^{INVISIBLE}]")
_EDGES = (
    "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000\u200b\u2060\ufeff"
)
_SEVERAL_LINES = re.compile(r"[\n-\r\x1C-\x1E\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x1F\x7F-\x9F]")
_NOT_OF_A_LINE = re.compile(r"[\x00-\x1F\x7F-\x9F\u2028\u2029]+")
# joiners make another shape of their neighbours, and tags another flag; whatever else is ignorable changes no word
_UNSEEN = re.compile(rf"(?![\u200C\u200D\U000E0020-\U000E007F])[{_IGNORABLE}]")
_SPACE = re.compile(r"[\u00A0\u1680\u2000-\u200A\u202F\u205F\u3000]")
_YPOGEGRAMMENI = re.compile(r"[\u0345\u1F80-\u1FFC]")
_WIDE = re.compile(r"[\u3000\uFF01-\uFFEE]")


def shows(text: str) -> bool:
    """Whether there is anything to see of a text."""
    return _SHOWS.search(text) is not None


def composed(text: str) -> str:
    """Normalization Form C."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def trimmed(text: str) -> str:
    """A text without the blanks around it, and without zero-width spaces and byte order marks there."""
    return text.strip(_EDGES)


def has_line_break(text: str) -> bool:
    """Whether a text has more than one line (mandatory breaks, UAX #14)."""
    return _SEVERAL_LINES.search(text) is not None


def has_control(text: str) -> bool:
    """Whether a text holds control characters (Cc), such as a bell or a tab."""
    return _CONTROL.search(text) is not None


def as_line(text: str | None) -> str:
    """What of a text from elsewhere can stand where one line is wanted: empty where it shows nothing."""
    line = composed(trimmed(_NOT_OF_A_LINE.sub(" ", text or "")))
    return line if shows(line) else ""


def fold(text: str) -> str:
    """What two texts have in common that differ in case or in encoding alone (canonical caseless match, D145)."""
    if text.isascii():
        return text.lower()
    normalize = unicodedata.normalize
    # the standard decomposes first for the sake of these alone; composing what is composed costs a fifth of it
    known = normalize("NFD", text) if _YPOGEGRAMMENI.search(text) else normalize("NFC", text)
    return normalize("NFC", known.casefold())


@lru_cache(2_000)  # lists fold the name of each tag they show
def fold_name(name: str) -> str:
    """As ``fold``, for names: those that look the same are the same. What cannot be seen in them does not count, and a
    blank is a blank, no-break or not."""
    return name.lower() if name.isascii() else fold(_SPACE.sub(" ", _UNSEEN.sub("", name)))


def fold_username(name: str) -> str:
    """What usernames are compared as, which are of ASCII letters: a name as somebody typed it, blanks around it,
    letters of full width or not (RFC 8265, section 3.3)."""
    name = trimmed(name)
    if name.isascii():
        return name.lower()
    narrow = _WIDE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), name)
    return composed(composed(narrow).lower())


def fold_email(address: str) -> str:
    """What addresses are kept and compared as. No full case folding: the mailbox of straße is not that of strasse."""
    return address.lower() if address.isascii() else composed(composed(address).lower())
