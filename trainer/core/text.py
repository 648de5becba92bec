"""Text of others, such as class names, paths and error messages, made safe to show."""

import html
import io
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from itertools import compress

# Control characters of ASCII and Latin-1, marks that reorder or hide text, line separators, and
# the surrogates that stand for bytes of a file name which is not UTF-8.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
TO_PASTE = "; continue with"  # before a command
SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def plain(text: str) -> str:
    r"""Return a text as one line of visible characters: ESC as `\x1b`, a line break as a space."""
    return UNSAFE.sub(lambda match: visible(match[0]), text)


def wrapped(text: str, width: int) -> str:
    """Return a text wrapped between words; what may be pasted stays whole.

    That is a line in columns, and a command at the end, which gets a line of its own.
    """
    if "  " in text:
        return text
    words, to_paste, command = text.partition(TO_PASTE)
    lines = textwrap.wrap(words + to_paste, width, break_long_words=False, break_on_hyphens=False)
    if command and len(lines[-1]) + len(command) <= width:
        return "\n".join(lines) + command
    return "\n".join([*lines, command.strip()] if command else lines)


def visible(character: str) -> str:
    r"""Return the escape of an unsafe character; a byte of a file name is `\xe9` again."""
    code = ord(character)
    if character in SPACES:
        return " "
    if 0xDC80 <= code <= 0xDCFF:  # PEP 383
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape_markdown(text: str) -> str:
    """Return a text as one line in which Markdown finds no markup."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", plain(text))


def escape_html(text: str) -> str:
    """Return a text as one line of HTML, for an element or an attribute in quotes."""
    return html.escape(plain(text))


def replace_unencodable() -> None:
    """Let stdout and stderr replace the characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "replace":
            stream.reconfigure(errors="replace")


def beginning(text: str, most: int) -> str:
    """Return a text of at most `most` characters; of a longer one the beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def count(number: float, noun: str, *, plural: str = "", form: str = "") -> str:
    """Return a number, in the format `form`, with its noun: `1 file`, `2 files`.

    `plural` is for a noun whose plural is not with -s.
    """
    return f"{number:{form}} {noun if number == 1 else plural or f'{noun}s'}"


def enumerated(names: Iterable[str]) -> str:
    """Join names by commas; one that has a comma itself is quoted."""
    return ", ".join(f"'{name}'" if "," in name else name for name in names)


def listed(names: Sequence[str], rows: Iterable[Sequence[bool]]) -> list[str]:
    """Join the names where each row of multi-hot labels [k, C] is true by `;`."""
    return [";".join(compress(names, row)) for row in rows]
