"""Names of torchvision's and timm's networks, read from their files: importing takes long."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

REGISTERED = re.compile(r"^@register_model\b.*?^def (\w+)\(", re.DOTALL | re.MULTILINE)


@cache
def networks() -> dict[str, str]:
    """The option of the group `model` for each network; torchvision where both have it."""
    found: dict[str, str] = {}
    for library in ("torchvision", "timm"):
        spec = find_spec(library)
        for folder in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(folder, "models").rglob("*.py")):
                for name in REGISTERED.findall(path.read_text(encoding="utf-8", errors="replace")):
                    found.setdefault(name, library)
    return found
