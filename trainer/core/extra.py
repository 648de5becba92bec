"""Optional dependencies: the extras of pyproject.toml."""


def missing(setting: str, extra: str) -> ValueError:
    """The error for a setting whose extra is not installed, with the command that installs it."""
    return ValueError(f"{setting} needs the {extra} extra: pip install -e '.[{extra}]'")
