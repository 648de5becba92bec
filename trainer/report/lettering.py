"""Text in pictures, in fonts that have its characters: never boxes, never wider than its place.

DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic and more. Other characters are
drawn in the first installed font that has them, or else written in Latin letters: the name that
Unicode gives a letter, `U+732B` for an ideograph.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from trainer.core.text import plain

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

SIZE = 12  # pixels of the letters
LONGEST = 2000  # characters that are drawn: a class name may have a million
LINE = 15  # pixels of a line of text
OWN = "DejaVuSans.ttf"
BOXES = "lastresort"  # the name of fonts in which every character is a box
PREFERRED = re.compile(  # file names of those that have ideographs and are for screens
    "notosans|sourcehansans|pingfang|hiragino|msyh|yugoth|meiryo|malgun|simhei|wqy|droidsans"
)
SLANTED = re.compile("bold|italic|oblique|light|thin|black|serif|mono")
LETTER = re.compile(r"(?:LETTER|SYLLABLE|VOWEL SIGN)(?: SMALL)? ([A-Z]+)$")
MARKS = ("Mn", "Me", "Cf", "Cn", "Co")  # categories of what is left out where no font has it


def draw_text(
    canvas: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    *,
    size: int = SIZE,
    fill: str | tuple[int, int, int] = "black",
) -> None:
    """Draw a line of text whose top left corner is at `place`."""
    left, top = place
    for path, part in runs(text):
        letters = font(path, size)
        canvas.text((left, top + size), part, fill=fill, font=letters, anchor="ls")
        left += letters.getlength(part)


def text_width(text: str, size: int = SIZE) -> int:
    """The width of a line of text in pixels."""
    return round(sum(font(path, size).getlength(part) for path, part in runs(text)) + 0.5)


def shortened(text: str, width: float, size: int = SIZE, *, keep_end: bool = False) -> str:
    """A text cut to a width in pixels, with an ellipsis; in its middle with `keep_end`."""
    text = legible(text)
    if text_width(text, size) <= width:
        return text
    low, high = 0, len(text)  # characters kept
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(cut(text, middle, keep_end=keep_end), size) <= width:
            low = middle
        else:
            high = middle - 1
    return cut(text, low, keep_end=keep_end)


def cut(text: str, number: int, *, keep_end: bool) -> str:
    """A text with `number` of its characters and an ellipsis for the others."""
    end = number // 2 if keep_end else 0
    return f"{text[: number - end]}…{text[len(text) - end :]}"


def upwards(text: str, *, size: int = SIZE) -> Image.Image:
    """A picture of a line of text that is read from the bottom to the top."""
    picture = Image.new("RGB", (max(1, text_width(text, size)), size + 4), "white")
    draw_text(ImageDraw.Draw(picture), (0, 0), text, size=size)
    return picture.transpose(Image.Transpose.ROTATE_90)


@cache
def legible(text: str) -> str:
    """A text as one line of characters that some font has; of a long one the two ends."""
    if len(text) > LONGEST:
        text = cut(text, LONGEST, keep_end=True)
    return "".join(map(drawable, unicodedata.normalize("NFC", plain(text)))).rstrip()


@cache
def drawable(character: str) -> str:
    """A character that some font has: itself, or Latin letters for it."""
    if font_of(character):
        return character
    base = unicodedata.normalize("NFKD", character)
    if base != character and all(map(font_of, base)):
        return base
    if unicodedata.category(character) in MARKS:
        return ""
    letter = LETTER.search(unicodedata.name(character, ""))
    return letter[1].lower() if letter else f"U+{ord(character):04X} "


def runs(text: str) -> list[tuple[str, str]]:
    """The parts of a text that have one font, with its path."""
    parts = groupby(legible(text), key=font_of)
    return [(path, "".join(part)) for path, part in parts if path]


@cache
def font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """A font of a size in pixels."""
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@cache
def font_of(character: str) -> str:
    """The path of a font that has a character; empty if none has."""
    if ord(character) in characters(own_font()):
        return own_font()
    if character.isascii():
        return ""
    return next((path for path in installed() if ord(character) in characters(path)), "")


@cache
def own_font() -> str:
    """The path of the font that matplotlib brings."""
    import matplotlib as mpl

    return str(Path(mpl.get_data_path()) / "fonts" / "ttf" / OWN)


@cache
def installed() -> tuple[str, ...]:
    """The paths of the installed fonts, upright sans serifs first; none whose letters are boxes."""
    from matplotlib import font_manager

    def order(path: str) -> tuple[bool, bool, str]:
        name = Path(path).name.lower()
        return not PREFERRED.search(name), bool(SLANTED.search(name)), path

    paths = font_manager.findSystemFonts()
    return tuple(sorted((path for path in paths if BOXES not in path.lower()), key=order))


@cache
def characters(path: str) -> frozenset[int]:
    """The code points that a font has; none if it cannot be read or drawn at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        opened: FT2Font = FT2Font(path)
        ImageFont.truetype(path, SIZE, layout_engine=ImageFont.Layout.BASIC)
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return frozenset(opened.get_charmap()) if opened.scalable else frozenset()
