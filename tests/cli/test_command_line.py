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
from hydra import compose, initialize_config_dir
from support import options

import trainer
from trainer.__main__ import CONF, main
from trainer.config.compose import file_name, sweep_hash
from trainer.config.schema import GROUPS
from trainer.core.errors import ConfigError

ROOT = Path(__file__).parents[2]
Cli = Callable[..., tuple[int, str, str]]


def folders() -> list[Path]:
    """The folders that the command left behind."""
    return sorted(path for path in Path.cwd().rglob("*") if path.is_dir())


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
    for argument in ("epoch=3", "seed=-1"):  # refused by Hydra, and by the schema
        code, _, err = cli(argument, "debug=true")
        assert code == 2
        assert err.startswith("Traceback")
        assert err.splitlines()[-1].startswith(argument.split("=")[0])


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


def test_memory_that_is_full_before_the_run_is_exit_code_8(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise MemoryError("Unable to allocate 117. PiB")

    monkeypatch.setattr("trainer.cli.execute.execute", fail)
    code, _, err = cli()
    assert (code, err.count("\n")) == (8, 1)
    assert "Unable to allocate 117. PiB; take loader=stream, or lower the size" in err


def test_ctrl_c_before_training_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("trainer.cli.execute.execute", interrupt)
    assert cli() == (130, "", "stopped by signal 2 before the run began\n")
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
    monkeypatch.setattr(
        "trainer.cli.execute.execute", lambda _, folder, *__: began.append(folder) or 130
    )
    assert cli(*SWEEP, "seed=1,2")[0] == 130
    assert len(began) == 1


def test_a_sweep_finds_itself_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        return sweep_hash()

    first = hashed("-m", "seed=0,1", "loss=cross_entropy")
    assert hashed("loss=cross_entropy", "seed=0,1", "--multirun") == first
    assert hashed("-m", "seed=0,1", "loss=cross_entropy", "resume=auto", "quiet=true") == first
    assert hashed("-m", "seed=0,1,2", "loss=cross_entropy") != first


def test_a_long_folder_name_is_cut_and_stays_unique() -> None:
    names = {file_name(f"{'x' * 200}={i}") for i in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) < 200
    assert file_name("dataset.root=/a b") == "dataset.root=_a_b"


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
import json, sys
from hydra.core.global_hydra import GlobalHydra
from trainer.__main__ import main

for arguments in json.loads(sys.argv[1]):
    GlobalHydra.instance().clear()
    sys.argv = ["trainer", *arguments]
    try:
        main()
    except SystemExit as error:
        print("exit", error.code or 0, "torch" in sys.modules, "numpy" in sys.modules)
"""


def test_what_answers_at_once_imports_no_torch(tmp_path: Path) -> None:
    codes = {
        ("--help",): 0,
        ("--cfg", "job"): 0,
        ("--info", "defaults"): 0,
        ("-sc", "query=bash"): 0,
        ("-sc", "install=bash"): 0,
        ("epoch=3",): 2,
        ("-m", "seed=-1,-2"): 1,
    }
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, json.dumps(list(codes))],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COMP_LINE": "trainer model="},
        capture_output=True,
        text=True,
    )
    exits = [line for line in done.stdout.splitlines() if line.startswith("exit")]
    assert exits == [f"exit {code} False False" for code in codes.values()]
    assert " ".join(f"model={name}" for name in options("model")) in done.stdout
    assert "hydra_bash_completion trainer" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_real_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "seed=-1"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("seed ")
    assert list(tmp_path.iterdir()) == []


def test_the_startup_benchmarks_bare_program_has_all_groups_and_options(tmp_path: Path) -> None:
    path = ROOT / "scripts" / "bench_startup.py"
    spec = importlib.util.spec_from_file_location("bench_startup", path)
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    bench.bare_program(tmp_path)
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        assert set(GROUPS) <= set(compose("config"))
    assert len(list(CONF.glob("*/*.yaml"))) == len(list((tmp_path / "conf").glob("*/*.yaml")))
    assert (tmp_path / "bare.py").is_file()
