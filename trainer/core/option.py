"""The name of a component in the config."""


def option_of(component: object) -> str:
    """Return the option that made a component: `ohem` for an object of trainer.mining.ohem.

    A class from outside the package has the last word of its module.
    """
    words = type(component).__module__.split(".")
    own = words[0] == "trainer" and len(words) > 2
    return (words[2] if own else words[-1]).rstrip("_")
