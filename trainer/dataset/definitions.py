"""Definitions of nouns in WordNet 3.0: 4,800 texts in 8 classes, included in the package.

G. A. Miller (1995), "WordNet: a lexical database for English",
https://doi.org/10.1145/219717.219748. WordNet 3.0 Copyright 2006 by Princeton University; its
licence is in `definitions.LICENSE`. `scripts/make_definitions.py` makes the file.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.text_dataset import TextDataset
from trainer.dataset.shared.texts import Texts

FILE = Path(__file__).with_name("definitions.tsv.gz")


@dataclass(kw_only=True)
class Definitions(TextDataset):
    """What is defined: an animal, artifact, part of a body, food, location, person, plant or stuff.

    600 of each class, 11 words long on average.
    """

    test_fraction: float = 0.16667

    def load(self) -> Raw:
        """Load all definitions."""
        lines = gzip.decompress(FILE.read_bytes()).decode().splitlines()
        names, texts = zip(*(line.split("\t") for line in lines), strict=True)
        classes = tuple(sorted(set(names)))
        labels = torch.tensor([classes.index(name) for name in names])
        train = Split(Texts(texts, self.max_length), labels, torch.arange(len(labels)))
        return Raw(train, None, classes, mean=(), std=())
