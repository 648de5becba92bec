"""Mistakes that people make, through the command line: one line, exit code 2, nothing opened.

The composing of single mistakes is in test_explain.py; here it is the whole way.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from trainer.__main__ import main
from trainer.cli import folders

Cli = Callable[..., tuple[int, str]]
SECONDS = 5.0  # of the processor, for a refusal once Python runs; a slow pattern takes minutes

TYPOS = {
    "epcohs=3": "epochs=3",
    "batch_szie=64": "batch_size=64",
    "optimizer.learning_rte=0.1": "optimizer.lr=0.1",
    "optimizer.lr_rate=0.1": "optimizer.lr=0.1",
    "optmizer=adamw": "optimizer=adamw",
    "optimizer.wieght_decay=0.1": "optimizer.weight_decay=0.1",
    "weight_deacy=0.1": "optimizer.weight_decay=0.1",
    "model=resnet_cifr": "model=resnet_cifar",
    "modle=mlp": "model=mlp",
    "dataset=cifar-10": "dataset=cifar10",
    "dataset=fashionmnist": "dataset=fashion_mnist",
    "loss=crossentropy": "loss=cross_entropy",
    "mining=hard_examples": "mining=hard_example",
    "shedule=cosine": "schedule=cosine",
    "warm_up=gradual": "warmup=gradual",
    "mixer=mix_up": "mixer=mixup",
    "augmentation=randaugment": "augmentation=rand_augment",
    "precison=bf16": "precision=bf16",
    "early_stopping=patiance": "early_stopping=patience",
    "resum=auto": "resume=auto",
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in process, in an empty folder: exit code and stderr."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(folders, "created", [])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(*arguments: str) -> tuple[int, str]:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        assert said.out == ""
        assert list(folder.iterdir()) == []
        return exit_.value.code or 0, said.err  # pyright: ignore

    return run


def test_typos_are_one_line_with_the_right_suggestion(cli: Cli) -> None:
    missed = {}
    for typed, meant in TYPOS.items():
        code, said = cli(typed)
        assert (code, said.count("\n")) == (2, 1), typed
        assert typed in said
        assert "Traceback" not in said
        if f" Did you mean {meant}?" not in said:
            missed[typed] = said
    assert len(TYPOS) == 20
    assert len(missed) <= 2, missed


def bomb(levels: int) -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(rows)


def merges(levels: int) -> str:
    rows = ["a0: &a0 {x: 1}"]
    rows += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, levels)]
    return "\n".join(rows)


HEAD = "# @package _global_\n"
FILES = {
    "a tag": f"{HEAD}a: !!python/object/apply:os.system ['touch owned']\n",
    "a module": f"{HEAD}a: !!python/module:this\n",
    "an object": f"{HEAD}a: !!python/object/new:subprocess.Popen [[touch, owned]]\n",
    "a name": f"{HEAD}epochs: !!python/name:os.system\n",
    "aliases": f"{HEAD}{bomb(40)}\n",
    "merged aliases": f"{HEAD}{merges(40)}\n",
    "an alias of itself": f"{HEAD}a: &a [*a]\n",
    "deep lists": f"{HEAD}a: {'[' * 50_000}{']' * 50_000}\n",
    "deep mappings": f"{HEAD}a: {'{b: ' * 20_000}1{'}' * 20_000}\n",
    "deep blocks": HEAD + "".join(f"{' ' * i}a:\n" for i in range(1500)),
    "deep dashes": f"{HEAD}a:\n{'- ' * 20_000}1\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_hostile_yaml_is_refused_at_once(cli: Cli, tmp_path: Path, text: str) -> None:
    path = tmp_path / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    before = time.process_time()
    code, said = cli(f"--config-dir={tmp_path / 'conf'}", "experiment=mine")
    took = time.process_time() - before
    assert (code, said.count("\n")) == (2, 1)
    assert str(path) in said
    assert took < SECONDS
    assert not list(tmp_path.rglob("owned"))


DEEP = {
    "lists": f"+a={'[' * 500}{']' * 500}",
    "open lists": f"+a={'[' * 1000}",
    "mappings": f"+a={'{b:' * 300}1{'}' * 300}",
    "calls": f"+a={'int(' * 60}1{')' * 60}",
    "references": f"epochs={'${' * 500}a{'}' * 500}",
}


@pytest.mark.parametrize("typed", DEEP.values(), ids=DEEP)
def test_deep_nesting_on_the_command_line_is_refused_at_once(cli: Cli, typed: str) -> None:
    before = time.process_time()
    code, said = cli(typed)
    assert (code, said.count("\n")) == (2, 1)
    assert time.process_time() - before < SECONDS
