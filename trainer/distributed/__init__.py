"""Several processes that train one model. Nothing is imported here: `processes` needs no torch."""
