import errno
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from support import options

import trainer
import trainer.run
from trainer.__main__ import CONF, main
from trainer.cli import folders as hydra_folders
from trainer.config import compose
from trainer.config.schema import GROUPS

ROOT = Path(__file__).parents[2]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in process, in an empty folder: exit code, stdout, stderr."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(hydra_folders, "created", [])

    def run(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        return exit_.value.code or 0, said.out, said.err  # pyright: ignore

    return run


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of the jobs that began; instead of training, each returns 0."""
    began: list[list[str]] = []

    def execute(config: object, folder: Path, overrides: list[str], sources: list[str]) -> int:
        began.append(overrides)
        (folder / "status.json").write_text("{}")
        return 0

    monkeypatch.setattr("trainer.cli.execute.execute", execute)
    return began


def folders() -> list[Path]:
    """What the command left behind."""
    return sorted(path for path in Path.cwd().rglob("*") if path.is_dir())


REFUSED = {
    # misspelt
    "epoch=3": "epoch=3: there is no such setting. Did you mean epochs=3?",
    "optimzer=sgd": "optimzer=sgd: there is no such setting. Did you mean optimizer=sgd?",
    "~lose": "lose: there is no such setting. Did you mean loss?",
    "model=mpl": "model=mpl: there is no such option. Did you mean model=mlp? Options: ",
    "nope=1": "nope=1: there is no such setting. python -m trainer --cfg job lists all.",
    "+nope=1": "nope=1: there is no such setting.",
    "+checkpoint.kep=1": "checkpoint.kep=1: there is no such setting. Did you mean checkpoint.keep",
    "mining.keep=0.5": "mining.keep=0.5: mining=none has no such setting; mining.keep belongs to ",
    "augmentation.random_crop.padding=2": "augmentation.random_crop.padding=2: the chosen ",
    "momentum=0.3": "momentum=0.3: there is no such setting. Did you mean ",
    # types
    "epochs=abc": "epochs must be an integer, got abc\n",
    "epochs=1.5": "epochs must be an integer, got 1.5\n",
    "epochs=null": "epochs must be an integer, got null\n",
    "epochs=": "epochs must be an integer, got nothing\n",
    "epochs={a:1}": "epochs must be an integer, got {a:1}\n",
    "clip=abc": "clip must be a number or null, got abc\n",
    "quiet=maybe": "quiet must be true or false, got maybe\n",
    "checkpoint=3": "checkpoint=3: it is set by its parts every, keep, monitor, as checkpoint.ever",
    "loss=null": "loss=null: name an option: ",
    "optimizer=[sgd,adam]": "optimizer=[sgd,adam]: optimizer takes one option\n",
    "~epochs": "epochs must be given\n",
    "~loss": "loss must be given\n",
    "seed=???": "seed must be given\n",
    # ranges
    "batch_size=0": "batch_size must be an integer of at least 1, or all, got 0\n",
    "batch_size=1.5": "batch_size must be an integer of at least 1, or all, got 1.5\n",
    "batch_size=true": "batch_size must be an integer of at least 1, or all, got true\n",
    "seed=-1": "seed must be in [0, 9.2e18], got -1\n",
    "clip=nan": "clip must be in (0, inf), got nan\n",
    "threads=0": "threads must be in [1, inf), got 0\n",
    "ema=0": "ema must be in (0, 1), got 0\n",
    "ema=1": "ema must be in (0, 1), got 1\n",
    "sam=0": "sam must be in (0, inf), got 0\n",
    "sam=-0.1": "sam must be in (0, inf), got -0.1\n",
    "swa=abc": "swa must be a length such as 5ep, 400st or 0.1run, got abc\n",
    "precision=fp17": "precision must be one of fp32, bf16, fp16, got fp17. Did you mean fp16?\n",
    "device=gpu": "device must be auto, cpu, cuda, cuda:N or mps, got gpu. Did you mean cuda?\n",
    "checkpoint.every=3": "checkpoint.every must be a length such as 5ep, 400st or 0.1run, got 3\n",
    "log.every=abc": "log.every must be a length such as 5ep, 400st or 0.1run, got abc\n",
    "log.every=0st": "log.every must be above 0, got 0st\n",
    # syntax
    "a==": "a==: special characters need quotes: 'a=\"=\"'\n",
    "dataset.root=a(b)": "dataset.root=a(b): special characters need quotes: 'dataset.root=\"a(b",
    "loss=[": "loss=[: a bracket or a quote is not closed\n",
    "epochs='3": "epochs='3: a bracket or a quote is not closed\n",
    "epochs": "epochs: settings are written setting=value. Did you mean epochs=VALUE?\n",
    "ohem": "ohem: settings are written setting=value. Did you mean mining=ohem?\n",
    "=3": "settings are written setting=value, and a group takes the name of an option\n",
    "+epochs=3": "+epochs=3: epochs is there already; leave the + out\n",
    "+loss=cross_entropy": "+loss=cross_entropy: loss is there already; leave the + out\n",
    "++mixer=none": "+mixer=none: mixer is there already; leave the + out\n",
    "mixer=mixup,none": "mixer=mixup,none: to run each of several values, add -m; ",
    "epochs=range(1,3)": "epochs=range(1,3): to run each of several values, add -m; ",
    # references
    "epochs=${nope}": "epochs=${nope}: there is no setting nope to refer to\n",
    "epochs=${oc.env:NOPE}": "epochs=${oc.env:NOPE}: Environment variable 'NOPE' not found\n",
    "epochs=${nope:1}": "epochs=${nope:1}: Unsupported interpolation type nope\n",
    "hydra.run.dir=${nope}": "hydra.run.dir=${nope}: there is no setting nope to refer to\n",
    # Hydra's own
    "--nope": "--nope: there is no such flag. A setting has no dashes: nope=VALUE\n",
    "--epochs=3": "--epochs=3: there is no such flag. A setting has no dashes: epochs=3\n",
    "--multirn": "--multirn: there is no such flag. Did you mean --multirun?\n",
    "--cfg=jobs": "--cfg/-c: invalid choice: 'jobs' (choose from 'job', 'hydra', 'all')\n",
    "--config-dir=/nowhere": "Additional config directory '/nowhere' not found\n",
    "hydra.sweep.dr=x": "hydra.sweep.dr=x: there is no such setting. Did you mean hydra.sweep.dir=",
    "hydra/launcher=nope": "hydra/launcher=nope: there is no such option. Options: basic",
}


@pytest.mark.parametrize(("argument", "line"), REFUSED.items(), ids=list(REFUSED))
def test_a_wrong_setting_is_one_line_and_leaves_nothing(
    cli: Cli, jobs: list[list[str]], argument: str, line: str
) -> None:
    code, out, err = cli(argument)
    assert err.startswith(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert folders() == []
    assert jobs == []


BUILT = {
    "optimizer.lr=abc": "optimizer.lr must be a number, got abc\n",
    "optimizer.lr=nan": "optimizer.lr must be a number, got nan\n",
    "optimizer.lr=-1": "optimizer.lr must be in (0, inf), got -1\n",
    "optimizer.lr=0": "optimizer.lr must be in (0, inf), got 0",
    "optimizer.lr=inf": "optimizer.lr must be",
    "batch_size=0": "batch_size must be an integer of at least 1, or all, got 0",
    "batch_size=-3": "batch_size must be an integer of at least 1, or all, got -3",
    "epochs=1.5": "epochs must be an integer, got 1.5",
    "epochs=0": "epochs must be in [1, inf), got 0",
    "accumulate=0": "accumulate must be in [1, inf), got 0",
    "dataset.val_fraction=1": "dataset.val_fraction must be in [0, 1), got 1",
    "optimizer.lr=???": "optimizer.lr must be given\n",
    "optimizer.betas=[0.9,1]": "optimizer.betas must be in [0, 1), got [0.9,1]\n",
    "loss.label_smoothing=2": "loss.label_smoothing must be in [0, 1], got 2\n",
    "+loss.label_smothing=2": "loss.label_smothing=2: CrossEntropy has no such setting. Did you me",
    "mining=ohem mining.keep=0": "mining.keep must be in (0, 1], got 0\n",
    "mining=ohem mining.score=los": "mining.score must be loss, error, confidence, margin, entro",
    "model=mlp model.hidden=64": "model.hidden must be a list of integers or null, got 64. Did yo",
    "loss._target_=trainer.loss.Nope": "loss._target_=trainer.loss.Nope cannot be imported: ",
    "+augmentation.nope=1": "augmentation.nope must name an option of its group, got 1\n",
    "ema=0.9 swa=1ep": "swa=1ep and ema=0.9: take one average\n",
    "sam=0.1 precision=fp16": "sam=0.1 needs precision=fp32 or bf16, got fp16\n",
    "resume=nope": "resume=nope: no run there; ",
}


@pytest.mark.parametrize(("arguments", "line"), BUILT.items(), ids=list(BUILT))
def test_a_components_wrong_setting_is_refused_before_the_data_opens(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: str, line: str
) -> None:
    monkeypatch.setattr("trainer.dataset.Dataset.open", lambda *_: pytest.fail("data opened"))
    code, out, err = cli(*arguments.split())
    assert err.startswith(line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert folders() == []


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_an_absent_device_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    code, _, err = cli(f"device={device}")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"device={device}: there is no such device here")
    assert folders() == []


@pytest.mark.parametrize("dataset", ["mnist", "image_folder"])
def test_an_absent_data_set_is_exit_code_3(cli: Cli, dataset: str) -> None:
    code, _, err = cli(f"dataset={dataset}", "dataset.root=/nowhere", "quiet=true")
    assert (code, err.count("\n")) == (3, 1)
    assert "dataset.root" in err
    assert "/nowhere" in err
    assert folders() == []


def test_only_the_folders_that_hydra_made_are_taken_away(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert cli("seed=-1", f"hydra.run.dir={tmp_path}/mine/deep/er")[0] == 2
    assert cli("seed=-1", f"hydra.run.dir={tmp_path}/mine")[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = cli(f"hydra.run.dir={tmp_path}/file/run")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"{tmp_path}/file/run: Not a directory; hydra.run.dir=...")


def test_debug_shows_the_traceback_as_well(cli: Cli) -> None:
    for arguments in (["epoch=3"], ["seed=-1"]):
        code, _, err = cli(*arguments, "debug=true")
        assert code == 2
        assert err.startswith("Traceback")
        assert err.splitlines()[-1].startswith(arguments[0].split("=")[0])


def test_an_unforeseen_error_is_one_line_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise KeyError("oops\nand more")

    monkeypatch.setattr("trainer.cli.execute.execute", fail)
    assert cli() == (1, "", "KeyError: 'oops\\nand more'; debug=true shows where\n")
    assert folders() == []


def test_a_full_disk_is_exit_code_6(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/.lock")

    monkeypatch.setattr("trainer.cli.execute.execute", fail)
    code, _, err = cli()
    assert (code, err.count("\n")) == (6, 1)
    assert err.startswith("/x/.lock: No space left on device; ")


def test_ctrl_c_before_training_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.cli.execute.execute", interrupt)
    assert cli() == (130, "", "interrupted\n")
    assert folders() == []


# Sweeps, in one process: test_sweep.py has those with a process a job

SWEEP = ("-m", "hydra/launcher=basic")


def test_in_a_sweep_one_jobs_error_does_not_end_the_others(cli: Cli, jobs: list[list[str]]) -> None:
    code, _, err = cli(*SWEEP, "epochs=1,abc,2", "seed=0,-1")
    assert code == 1
    assert err.splitlines() == [
        "seed must be in [0, 9.2e18], got -1",
        "epochs must be an integer, got abc",
        "epochs must be an integer, got abc",
        "seed must be in [0, 9.2e18], got -1",
    ]
    assert jobs == [["epochs=1", "seed=0"], ["epochs=2", "seed=0"]]
    (sweep,) = Path("outputs").iterdir()
    assert sorted(path.name for path in sweep.iterdir()) == [
        "0-epochs=1,seed=0",
        "1-epochs=2,seed=0",
        "multirun.yaml",
    ]


def test_in_a_sweep_a_failing_jobs_exit_code_is_1_and_its_empty_folder_goes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def execute(config: dict[str, int], *_: object) -> int:
        if config["seed"] == 1:
            raise ConfigError("seed must not be 1, got 1")
        if config["seed"] == 2:
            raise RuntimeError("oops")
        return 5 if config["seed"] == 3 else 0

    monkeypatch.setattr("trainer.cli.execute.execute", execute)
    code, _, err = cli(*SWEEP, "seed=1,2,3,4")
    assert code == 1
    assert err.splitlines() == [
        "seed must not be 1, got 1",
        "RuntimeError: oops; debug=true shows where",
    ]
    assert folders() == []


def test_a_sweep_in_which_all_goes_well_is_0(cli: Cli, jobs: list[list[str]]) -> None:
    assert cli(*SWEEP, "mining=none,random", "seed=1") == (0, "", "")
    assert len(jobs) == 2


def test_a_misspelt_option_in_a_sweep_leaves_the_others(cli: Cli, jobs: list[list[str]]) -> None:
    code, _, err = cli(*SWEEP, "model=mlp,mpl")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("model=mpl: there is no such option. Did you mean model=mlp?")
    assert jobs == [["model=mlp"]]


def test_a_sweep_over_a_misspelt_setting_leaves_nothing(cli: Cli, jobs: list[list[str]]) -> None:
    code, _, err = cli("-m", "epoch=1,2")
    assert code == 1
    assert err.splitlines() == [
        f"epoch={n}: there is no such setting. Did you mean epochs={n}?" for n in (1, 2)
    ]
    assert jobs == folders() == []


def test_a_sweep_over_no_option_is_refused(cli: Cli, jobs: list[list[str]]) -> None:
    assert cli("-m", "loss=glob(nope*)")[0] == 2
    assert jobs == folders() == []


def test_a_signal_ends_the_whole_sweep(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[Path] = []
    monkeypatch.setattr("trainer.cli.execute.execute", lambda _, folder, *__: began.append(folder) or 130)
    assert cli(*SWEEP, "seed=1,2")[0] == 130
    assert len(began) == 1


def test_a_sweep_finds_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        return compose.sweep_hash()

    first = hashed("-m", "seed=0,1", "loss=cross_entropy")
    assert hashed("loss=cross_entropy", "seed=0,1", "--multirun") == first
    assert hashed("-m", "seed=0,1", "loss=cross_entropy", "resume=auto", "quiet=true") == first
    assert hashed("-m", "seed=0,1,2", "loss=cross_entropy") != first


def test_a_long_folder_name_is_cut_and_stays_unique() -> None:
    names = {compose.file_name(f"{'x' * 200}={i}") for i in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) < 200
    assert compose.file_name("dataset.root=/a b") == "dataset.root=_a_b"


# What needs no torch


def test_help_lists_each_group_with_its_options_the_default_first(cli: Cli) -> None:
    code, out, _ = cli("--help", "model=mlp")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if re.match(r"  \w", line)]
    table = {words[0]: words[1:] for words in rows}
    for group in GROUPS:
        assert set(options(group)) >= set(table[group][: len(options(group))]) >= {table[group][0]}
    assert table["model"][0] == "mlp"
    assert table["augmentation"][0] == "none"
    assert max(map(len, out.splitlines())) <= 100
    assert all(text in out for text in ("resume=", " -m ", "-sc install=bash", "Exit codes"))


def test_the_version_is_the_programs(capsys: pytest.CaptureFixture[str], cli: Cli) -> None:
    sys.argv = ["trainer", "--version"]
    main()
    assert capsys.readouterr().out == f"trainer {trainer.__version__}\n"


WITHOUT_TORCH = """
import json, os, sys
from hydra.core.global_hydra import GlobalHydra
from trainer.__main__ import main

for arguments in json.loads(sys.argv[1]):
    GlobalHydra.instance().clear()
    sys.argv = ["trainer", *arguments]
    try:
        main()
    except SystemExit as error:
        print("exit", error.code, "torch" in sys.modules, "numpy" in sys.modules)
"""


def test_what_answers_at_once_imports_no_torch(tmp_path: Path) -> None:
    commands = [
        ["--help"],
        ["--cfg", "job"],
        ["--info", "defaults"],
        ["-sc", "query=bash"],
        ["-sc", "install=bash"],
        ["epoch=3"],
        ["epochs=abc"],
        ["seed=-1"],
        ["-m", "seed=-1,-2"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, json.dumps(commands)],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COMP_LINE": "trainer model="},
        capture_output=True,
        text=True,
    )
    said = [line for line in done.stdout.splitlines() if line.startswith("exit")]
    codes = [0, 0, None, 0, 0, 2, 2, 2, 1]
    wanted = [f"exit {code} False False" for code in codes]
    # Completion and --info return without sys.exit of Hydra's, and then main exits with 0.
    assert [line.replace("None", "0") for line in said] == [w.replace("None", "0") for w in wanted]
    assert " ".join(f"model={name}" for name in options("model")) in done.stdout
    assert "hydra_bash_completion trainer" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_real_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "-m", "model=mlp", "steps=1", "optimizer.lr=0.1,abc"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    said = "job 1 (optimizer.lr=abc) failed: optimizer.lr must be a number, got abc; log: outputs/"
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert len(list(tmp_path.rglob("result.json"))) == 1


def test_the_startup_benchmarks_bare_program_has_all_groups_and_options(tmp_path: Path) -> None:
    path = ROOT / "scripts" / "bench_startup.py"
    spec = importlib.util.spec_from_file_location("bench_startup", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.bare_program(tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "bare.py"), "--help"],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    for group in GROUPS:
        assert f"{group}: {', '.join(options(group))}\n" in done.stdout
    assert len(list(CONF.glob("*/*.yaml"))) == len(list((tmp_path / "conf").glob("*/*.yaml")))
