"""One SHA-256 of the state of a run."""

import hashlib
from typing import Any

import torch


def sha256(*nodes: Any) -> str:
    """Hash tensors, plain values and containers of them; mappings in the order of their keys."""
    hashed = hashlib.sha256()

    def add(node: Any) -> None:
        if isinstance(node, torch.Tensor):
            hashed.update(node.cpu().contiguous().numpy().tobytes())
        elif isinstance(node, dict):
            for key in sorted(node, key=str):
                hashed.update(str(key).encode())
                add(node[key])
        elif isinstance(node, (list, tuple)):
            for item in node:
                add(item)
        else:
            hashed.update(repr(node).encode())

    for node in nodes:
        add(node)
    return hashed.hexdigest()
