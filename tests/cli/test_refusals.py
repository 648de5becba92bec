"""Mistakes through the whole command line: one line, an exit code, and no folder left behind."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]
SECONDS = 5.0  # of the processor for a refusal, once Python runs; a slow pattern takes minutes

# What is typed: how the line begins, and what else is in it. Typos are in config/test_typos.py.
REFUSED = {
    # misspelt
    "epoch=3": ("epoch=3: ", "Did you mean epochs=3?"),
    "~lose": ("lose: ", "Did you mean loss?"),
    "model=mpl": ("model=mpl: ", "Did you mean model=mlp? Options: "),
    "nope=1": ("nope=1: ", "--cfg job"),
    "+checkpoint.kep=1": ("checkpoint.kep=1: ", "Did you mean checkpoint.keep"),
    "mining.keep=0.5": ("mining.keep=0.5: mining=none ", "mining.keep belongs to "),
    "augmentation.random_crop.padding=2": ("augmentation.random_crop.padding=2: ", "the chosen "),
    # types
    "epochs=abc": ("epochs ", "an integer, got abc\n"),
    "epochs=null": ("epochs ", "an integer, got null\n"),
    "epochs=": ("epochs ", "an integer, got nothing\n"),
    "epochs={a:1}": ("epochs ", "an integer, got {a:1}\n"),
    "clip=abc": ("clip ", "a number or null, got abc\n"),
    "quiet=maybe": ("quiet ", "true or false, got maybe\n"),
    "checkpoint=3": ("checkpoint=3: ", "every or keep or monitor"),
    "loss=null": ("loss=null: name an option: ", "cross_entropy"),
    "optimizer=[sgd,adam]": ("optimizer=[sgd,adam]: ", "optimizer takes one option\n"),
    "~epochs": ("epochs ", "must be given\n"),
    "seed=???": ("seed ", "must be given\n"),
    # ranges
    "batch_size=1.5": ("batch_size ", "integer", "all, got 1.5\n"),
    "clip=nan": ("clip ", "(0, inf), got nan\n"),
    "ema=1": ("ema ", "(0, 1), got 1\n"),
    "sam=-0.1": ("sam ", "(0, inf), got -0.1\n"),
    "swa=abc": ("swa ", "5ep, 400st or 0.1run, got abc\n"),
    "precision=fp17": ("precision ", "fp32, bf16, fp16, got fp17. Did you mean fp16?\n"),
    "device=gpu": ("device ", "cuda:N or mps, got gpu. Did you mean cuda?\n"),
    # syntax
    "dataset.root=a(b)": ("dataset.root=a(b): ", "need quotes: 'dataset.root=\"a(b)"),
    "loss=[": ("loss=[: ", "not closed\n"),
    "epochs='3": ("epochs='3: ", "not closed\n"),
    "epochs": ("epochs: ", "Did you mean epochs=VALUE?\n"),
    "ohem": ("ohem: ", "Did you mean mining=ohem?\n"),
    "=3": ("settings are written setting=value", ""),
    "+epochs=3": ("+epochs=3: ", "epochs already exists; remove the +\n"),
    "++mixer=none": ("+mixer=none: ", "mixer already exists; remove the +\n"),
    "mixer=mixup,none": ("mixer=mixup,none: ", "add -m; "),
    "epochs=range(1,3)": ("epochs=range(1,3): ", "add -m; "),
    # references
    "epochs=${nope}": ("epochs=${nope}: ", "no setting nope "),
    "epochs=${oc.env:NOPE}": ("epochs=${oc.env:NOPE}: ", "variable 'NOPE' not found\n"),
    "epochs=${nope:1}": ("epochs=${nope:1}: ", "type nope\n"),
    "hydra.run.dir=${nope}": ("hydra.run.dir=${nope}: ", "no setting nope "),
    # Hydra's own
    "--nope": ("--nope: ", "no such flag", "nope=VALUE\n"),
    "--epochs=3": ("--epochs=3: ", "no such flag", "epochs=3\n"),
    "--multirn": ("--multirn: ", "Did you mean --multirun?\n"),
    "--cfg=jobs": ("--cfg/-c: ", "'jobs'", "'job', 'hydra', 'all'"),
    "--config-dir=/nowhere": ("Additional config directory '/nowhere'", "not found\n"),
    "hydra.sweep.dr=x": ("hydra.sweep.dr=x: ", "Did you mean hydra.sweep.dir="),
    "hydra/launcher=nope": ("hydra/launcher=nope: ", "Options: basic"),
    "-m hydra.launcher.n_jobs=0": ("hydra.launcher.n_jobs ", "[1, inf), got 0\n"),
    "-m hydra.launcher.retries=-1": ("hydra.launcher.retries ", "[0, inf), got -1\n"),
    "-m hydra.launcher.n_jobs=abc": ("hydra.launcher.n_jobs=abc: ", ""),
    "-m hydra.launcher.n_job=2": ("hydra.launcher.n_job=2: ", "Did you mean hydra.launcher.n_jobs"),
    "-m hydra/launcher=subproces": ("hydra/launcher=subproces: ", "hydra/launcher=subprocess"),
}


@pytest.mark.parametrize(("arguments", "found"), REFUSED.items(), ids=list(REFUSED))
def test_a_mistake_is_one_line_and_leaves_nothing(
    cli: Cli, jobs: list[list[str]], arguments: str, found: tuple[str, ...]
) -> None:
    code, out, err = cli(*arguments.split())
    assert err.startswith(found[0])
    assert all(part in err for part in found[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert list(Path.cwd().iterdir()) == jobs == []


BUILT = {
    "optimizer.lr=abc": ("optimizer.lr ", "a number, got abc\n"),
    "optimizer.lr=-1": ("optimizer.lr ", "(0, inf), got -1\n"),
    "optimizer.lr=???": ("optimizer.lr ", "must be given\n"),
    "optimizer.betas=[0.9,1]": ("optimizer.betas ", "[0, 1), got [0.9,1]\n"),
    "dataset.val_fraction=1": ("dataset.val_fraction ", "[0, 1), got 1\n"),
    "+loss.label_smothing=2": ("loss.label_smothing=2: ", "Did you mean loss.label_smoothing?"),
    "mining=ohem mining.score=los": ("mining.score ", "loss", "got los", "Did you mean loss?"),
    "model=mlp model.hidden=64": ("model.hidden ", "got 64", "Did you mean model.hidden=[64]?"),
    "loss._target_=trainer.loss.Nope": ("loss._target_=trainer.loss.Nope ", "imported"),
    "+augmentation.nope=1": ("augmentation.nope ", "option", "got 1\n"),
    "ema=0.9 swa=1ep": ("swa=1ep and ema=0.9", ""),
    "sam=0.1 precision=fp16": ("sam=0.1 ", "fp32 or bf16, got fp16\n"),
    "resume=nope": ("resume=nope: ", ""),
    "device=cuda:7": ("device=cuda:7", ""),
    "device=mps": ("device=mps", ""),
}


@pytest.mark.parametrize(("arguments", "found"), BUILT.items(), ids=list(BUILT))
def test_a_components_mistake_is_found_before_the_data_are_opened(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: str, found: tuple[str, ...]
) -> None:
    monkeypatch.setattr("trainer.dataset.Dataset.open", lambda *_: pytest.fail("data opened"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    code, out, err = cli(*arguments.split())
    assert err.startswith(found[0])
    assert all(part in err for part in found[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("dataset", ["mnist", "image_folder"])
def test_a_missing_data_set_is_exit_code_3(cli: Cli, dataset: str) -> None:
    code, _, err = cli(f"dataset={dataset}", "dataset.root=/nowhere", "quiet=true")
    assert (code, err.count("\n")) == (3, 1)
    assert "dataset.root" in err
    assert "/nowhere" in err
    assert list(Path.cwd().iterdir()) == []


def repeat(levels: int, line: str) -> str:
    """A YAML text in which each level refers to the one before nine times."""
    rows = [line.format(i=i, inner=", ".join([f"*a{i - 1}"] * 9)) for i in range(1, levels)]
    return "\n".join(["a0: &a0 {x: 1}", *rows])


FILES = {
    "a tag": "a: !!python/object/apply:os.system ['touch owned']",
    "an object": "a: !!python/object/new:subprocess.Popen [[touch, owned]]",
    "a name": "epochs: !!python/name:os.system",
    "aliases": repeat(40, "a{i}: &a{i} [{inner}]"),
    "merged aliases": repeat(40, "a{i}: &a{i} {{<<: [{inner}]}}"),
    "an alias of itself": "a: &a [*a]",
    "deep lists": f"a: {'[' * 50_000}{']' * 50_000}",
    "deep mappings": f"a: {'{b: ' * 20_000}1{'}' * 20_000}",
    "deep blocks": "".join(f"{' ' * i}a:\n" for i in range(1500)),
    "deep dashes": f"a:\n{'- ' * 20_000}1",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_hostile_yaml_is_refused_at_once(cli: Cli, tmp_path: Path, text: str) -> None:
    path = tmp_path / "conf" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{text}\n")
    before = time.process_time()
    code, _, err = cli(f"--config-dir={tmp_path / 'conf'}", "experiment=mine")
    assert time.process_time() - before < SECONDS
    assert (code, err.count("\n")) == (2, 1)
    assert str(path) in err
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
    code, _, err = cli(typed)
    assert time.process_time() - before < SECONDS
    assert (code, err.count("\n")) == (2, 1)
