"""The config's name for a component."""


def option_of(component: object) -> str:
    """`ohem` for an object of trainer.mining.ohem; the last word for a class from elsewhere."""
    words = type(component).__module__.split(".")
    own = words[0] == "trainer" and len(words) > 2
    return (words[2] if own else words[-1]).rstrip("_")
