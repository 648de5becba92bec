"""The page as one HTML file: style, script, images and cards inside, nothing fetched or sent."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from trainer.core.text import escape_html, plain

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Neighbour:
    """A training image that the model finds similar."""

    id: int
    label: str


@dataclass(frozen=True)
class Card:
    """An example to decide about."""

    id: int  # dataset id
    path: str  # empty where the images are not files
    label: str
    suggested: str
    probability: str  # of the suggested class, as a percentage
    reasons: tuple[str, ...]
    neighbours: tuple[Neighbour, ...] = ()


def page(
    title: str,
    classes: Sequence[str],
    cards: Sequence[Card],
    images: Mapping[int, str],
    texts: Mapping[int, str] | None = None,
) -> str:
    """Return the page; `images` are URIs by dataset id, or else there are `texts`.

    The browser keeps decisions under a name that depends on the cards: the page of another run, or
    of other labels, begins anew.
    """
    shown = [asdict(card) for card in cards]
    content = {
        "review": hashlib.sha256(json.dumps([title, shown]).encode()).hexdigest()[:16],
        "classes": [plain(name) for name in classes],
        "cards": shown,
        "images": images,
        "texts": texts or {},
    }
    script, style = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape_html(title),
        style=style,
        script=script,
        data=json.dumps(content).replace("<", "\\u003c"),  # no end of the script element
    )
