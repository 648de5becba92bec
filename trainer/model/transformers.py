"""Transformers of Hugging Face (extra `text`), by architecture or from a config, on word ids."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainer.core.batch import Input
from trainer.core.extra import missing
from trainer.core.forward import evaluating
from trainer.core.suggest import did_you_mean
from trainer.model.shared.embedding import trimmed
from trainer.model.shared.head import head_of
from trainer.model.shared.pretrained import load_backbone, read_state_dict, unreachable

FURTHER = 2  # positions that some architectures count before the first word
GIVEN = ("vocab_size", "num_labels", "pad_token_id")  # by the data
NO_FOLDER = "; give an architecture, such as model.name=distilbert, or a folder with config.json"


class Transformers(nn.Module):
    """A network for sequence classification with a new head, on the words of the vocabulary.

    `name` is an architecture, such as `distilbert`, a folder with a `config.json`, or a name on the
    hub; `arguments` are settings of its config. Words are numbered by the data's own vocabulary,
    not by a tokenizer of the library, so the word vectors are new even where `pretrained` loads the
    rest. Padding is masked. Raises ValueError for what is unknown, and at once for what is neither
    cached nor reachable.
    """

    inputs: ClassVar[tuple[Input, ...]] = ("text",)

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        words: int,
        outputs: int,
        name: str = "distilbert",
        pretrained: bool | str = False,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if find_spec("transformers") is None:
            raise missing("model=transformers", "text")
        found = config_of(name)
        adapt(found, name, arguments or {}, words=words, outputs=outputs, length=shape[0])
        try:
            network = library().AutoModelForSequenceClassification.from_config(found)
        except ValueError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"model.name={name} cannot classify texts: {reason}") from error
        check(network, name)
        self.head = f"network.{head_of(network)}"
        if pretrained:
            origin = (
                f"model.pretrained={str(pretrained).lower() if pretrained is True else pretrained}"
            )
            state = fetched(name) if pretrained is True else read_state_dict(str(pretrained))
            load(network, state, origin)
        self.network = network

    def forward(self, ids: Tensor) -> Tensor:
        """Word ids [B, L] → [B, outputs]."""
        ids = trimmed(ids).long()
        mask = ids != 0
        mask[:, :1] = True  # of no words, one is attended to
        return self.network(input_ids=ids, attention_mask=mask.long()).logits


def library() -> Any:
    """The package, which may be absent, and has the name of this module."""
    import transformers  # pyright: ignore[reportMissingImports]  # the package, not this module

    return transformers


def config_of(name: str) -> Any:
    """The config of an architecture, a folder, or a name on the hub. Raises ValueError."""
    known, auto = library().CONFIG_MAPPING, library().AutoConfig
    if name in known:
        return auto.for_model(name)
    if (Path(name) / "config.json").is_file():
        return auto.from_pretrained(name, local_files_only=True)
    if "/" not in name and not is_cached(name, "config.json"):
        close = did_you_mean(name, list(known), start=" ")
        raise ValueError(f"model.name={name} is no architecture of transformers.{close}{NO_FOLDER}")
    require_reachable(name, "config.json", f"model.name={name}", NO_FOLDER)
    try:
        return auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model.name={name}: {reason}{NO_FOLDER}") from error


def adapt(
    found: Any,
    name: str,
    arguments: dict[str, Any],
    *,
    words: int,
    outputs: int,
    length: int,
) -> None:
    """Set the arguments, and what the data gives. Raises ValueError for an unknown argument."""
    for key, value in arguments.items():
        if key in GIVEN:
            raise ValueError(f"model.arguments.{key} is given by the data; leave it out")
        if not hasattr(found, key):
            close = did_you_mean(key, [k for k in vars(found) if not k.startswith("_")])
            raise ValueError(f"model.arguments.{key}: {name} has no such setting.{close}")
        setattr(found, key, value)
    found.vocab_size, found.num_labels, found.pad_token_id = words, outputs, 0
    longest = getattr(found, "max_position_embeddings", None)
    if longest is not None and 0 < longest < length + FURTHER:  # XLNet's is -1: no limit
        found.max_position_embeddings = length + FURTHER


@torch.no_grad()
def check(network: nn.Module, name: str) -> None:
    """Raise ValueError for a network that needs more than word ids, or that reads padding."""
    padded = torch.tensor([[1, 0]])
    try:
        with evaluating(network):
            outputs = [
                network(input_ids=i, attention_mask=i).logits for i in (padded, padded[:, :1])
            ]
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"model.name={name} cannot classify texts by word ids alone: {reason}; take another, "
            "such as model.name=distilbert, or other model.arguments"
        ) from error
    if not torch.allclose(*outputs, rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"model.name={name} reads what stands behind a text's end, the padding; take another, "
            "such as model.name=distilbert"
        )


def load(network: nn.Module, state: dict[str, Tensor], origin: str) -> None:
    """Load weights but for the head and the word vectors. Raises CheckpointError."""
    embedding = network.get_input_embeddings()  # pyright: ignore
    vectors = next(name for name, module in network.named_modules() if module is embedding)
    own = network.state_dict()
    kept = {
        name: value
        for name, value in prefixed(state, own).items()
        if not name.startswith(f"{vectors}.") and name in own
    }
    missing_words = {name: value for name, value in own.items() if name.startswith(f"{vectors}.")}
    load_backbone(network, {**missing_words, **kept}, head_of(network), origin)


def prefixed(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with the names of ours: of a bare network, whose names lack a prefix."""
    if any(name in own for name in state):
        return state
    prefix = next(iter(own)).partition(".")[0]
    return {f"{prefix}.{name}": value for name, value in state.items()}


def fetched(name: str) -> dict[str, Tensor]:
    """The weights of a name on the hub. Raises ValueError where they cannot be had."""
    todo = "; give model.pretrained=FILE or model.pretrained=false"
    if not Path(name).is_dir():
        require_reachable(name, "model.safetensors", "model.pretrained=true", todo)
    try:
        return dict(library().AutoModel.from_pretrained(name, use_safetensors=True).state_dict())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"model.pretrained=true: {reason}{todo}") from error


def is_cached(name: str, file: str) -> bool:
    """Whether a file of a name on the hub is in the local cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, file), str)
    except HFValidationError:
        return False


def require_reachable(name: str, file: str, setting: str, todo: str) -> None:
    """Raise ValueError, at once, where a file is neither cached nor on a server in reach."""
    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/{name}"
    if not is_cached(name, file) and (reason := unreachable(url)) is not None:
        raise ValueError(
            f"{setting}: {file} of {name} is not cached and cannot be downloaded from {url} "
            f"({reason}){todo}"
        )
