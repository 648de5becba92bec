"""The parts of gpu_check.py. Each writes what it has found so far into a file: a line and figures.

python scripts/gpu_parts.py equal found.json --device stand-in
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from pathlib import Path

from gpu_context import Context, run
from race import spread
from stand_in import TESTS, on

ROOT = Path(__file__).parents[1]
SMALL = ("model.depth=8", "model.width=2", "batch_size=32", "eval_batch_size=64", "epochs=1")
STEPS = 200  # of a trial that tells how many steps there is time for
PER_CLASS = 8  # images of each class on the stand-in
SEEDS = 10
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


def tests(context: Context) -> None:
    """Run tests/test_gpu.py; on the stand-in only what a GPU refuses."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-vv", "-p", "no:cacheprovider"]
    command += ["test_gpu.py"] if context.real else ["-p", "fake_gpu", "test_gpu.py", "-k", "it_r"]
    paths = [str(TESTS), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    counts, failed = Counter(), []
    with subprocess.Popen(
        command, cwd=TESTS, env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        for line in running.stdout or ():
            print(line, end="", flush=True)
            if seen := re.match(r".*::(.+) (PASSED|FAILED|ERROR|SKIPPED)\b", line):
                name, outcome = seen.groups()
                counts[outcome.lower()] += 1
                failed += [name] if outcome in ("FAILED", "ERROR") else []
                say_tests(context, counts, failed, partial=True)
    say_tests(context, counts, failed, partial=False)


def say_tests(context: Context, counts: Counter[str], failed: list[str], *, partial: bool) -> None:
    """Say how many tests have passed, and which have not."""
    text = ", ".join(f"{number} {outcome}" for outcome, number in counts.items()) or "none ran"
    text += f": {', '.join(failed)}" if failed else ""
    context.say(text, ok=bool(counts["passed"]) and not failed, partial=partial, **counts)


def equal(context: Context) -> None:
    """Train on the CPU and on the device; compare the losses of validation."""
    differences: dict[str, float] = {}
    models = {"mlp": "mlp", "simple_cnn": "simple_cnn", "resnet8": "resnet_cifar"}
    for name, model in models.items():
        own = ("model.depth=8", "model.width=4") if name == "resnet8" else ()
        chosen = ("dataset.subset=300", f"model={model}", "optimizer=sgd", "steps=20", *own)
        losses = {}
        for device in ("cpu", context.named):
            folder = context.folder / f"{name}-{device}"
            losses[device] = run(folder, *chosen, f"device={device}")["val"]["loss"]
        differences[name] = abs(losses[context.named] / losses["cpu"] - 1)
        worst = max(differences.values())
        text = ", ".join(f"{n} {value:.1e}" for n, value in differences.items())
        text = f"after 20 steps in fp32 the losses differ by {text} of themselves"
        context.say(text, ok=worst < 1e-3, partial=True, **differences)


def kernels(context: Context) -> None:
    """Count the kernels of a step, and on a GPU its waits; the stand-in would raise."""
    import torch
    from bench_kernels import BATCH, GOAL, MODELS, WARM_UP, training
    from bench_kernels import kernels as count
    from kernels import profiled
    from rivals import fit_of, make_run

    found, waits = {}, Counter()
    for name in MODELS if context.real else ("mlp",):
        counts = count(name, context.named, context.folder, by_profiler=context.real)
        found[name] = {loop: counter.total() for loop, counter in counts.items()}
        chosen = (f"device={context.named}", f"batch_size={BATCH}", *MODELS[name])
        made = make_run(context.folder / f"{name}-waits", *chosen)
        step = training(fit_of(made))
        for _ in range(WARM_UP):
            step()
        if context.real:
            waits += profiled(step)[1]
        torch.cuda.set_sync_debug_mode("error")
        step()
        torch.cuda.set_sync_debug_mode("default")
        made.close_log()
        steps = (f"{n} {t['trainer']} (bare {t['bare']})" for n, t in found.items())
        text = f"{', '.join(steps)}; {waits.total() or 'no'} waits in a step"
        close = all(t["trainer"] <= t["bare"] + GOAL for t in found.values())
        context.say(text, ok=close and not waits, partial=True, kernels=found, waits=waits)


def loop(context: Context) -> None:
    """Time epochs of the bare loop and the trainer, in fp32 and in bf16 with channels_last."""
    from loop_rivals import HALF, RIVALS
    from rivals import Setting

    names = {"bare": RIVALS["bare"], "trainer": RIVALS["trainer"], **HALF}
    models = ("mlp", "simple_cnn") if context.real else ("mlp",)
    batches, images = ((64, 512), 60_000) if context.real else ((64,), 256)
    verdicts, speeds = [], {}
    for model in models:
        for batch in batches:
            own = Setting(str(context.mnist), images, batch, model, device=context.named)
            rivals = {}
            for name, make in names.items():
                folder = context.folder / f"{model}-{batch}-{name}"
                folder.mkdir()
                rivals[name] = make(own, folder)
            taken: dict[str, list[float]] = {name: [] for name in rivals}
            for number in range(4):
                for name, rival in rivals.items():
                    speed = rival.speed()
                    taken[name] += [speed] if number else []  # the first warms up
            ratio = [a / b for a, b in zip(taken["trainer"], taken["bare"], strict=True)]
            speeds[f"{model}, batch {batch}"] = taken
            verdicts.append(f"{model} {batch}: {spread(ratio, '.2f')} of bare")
            context.say("; ".join(verdicts), partial=True, images_per_second=speeds)


def photos(context: Context) -> Path:
    """The folder of CIFAR-10's JPEG files, unpacked from the archive if it is one."""
    if context.cifar10.is_dir():
        return context.cifar10
    kept: Counter[str] = Counter()
    with tarfile.open(context.cifar10) as archive:
        for member in archive:
            kept[str(Path(member.name).parent)] += 1
            if context.real or kept[str(Path(member.name).parent)] <= PER_CLASS:
                archive.extract(member, context.folder, filter="data")
    return next(path.parent for path in context.folder.rglob("train"))


def cifar10(context: Context) -> None:
    """Train experiment=cifar10_speed for as many seeds as there is time for."""
    root = photos(context)
    chosen = ("experiment=cifar10_speed", f"dataset.root={root}", f"device={context.named}")
    chosen += () if context.real else SMALL
    accuracies, seconds, longest = [], [], 0.0
    for seed in range(SEEDS if context.real else 2):
        if context.left < 1.2 * longest:
            break
        began = time.monotonic()
        result = run(context.folder / f"seed-{seed}", *chosen, f"seed={seed}")
        longest = max(longest, time.monotonic() - began)
        accuracies.append(100 * result["test"]["accuracy"])
        seconds.append(result["train_seconds"])
        deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        text = f"{statistics.mean(accuracies):.2f} ± {deviation:.2f} % over {len(accuracies)} seeds"
        text += f", {spread(seconds, '.1f')} s of training (aim: 93 % in 10 s)"
        context.say(text, partial=True, accuracies=accuracies, train_seconds=seconds)


def resnet20(context: Context) -> None:
    """ResNet-20's replication in as many steps as there is time for."""
    shortened(context, "resnet20", () if context.real else SMALL[:2])


def cutout(context: Context) -> None:
    """Cutout's replication, in bf16, in as many steps as there is time for."""
    small = () if context.real else ("model.depth=10", "model.widen=1", "batch_size=32")
    shortened(context, "cutout", ("precision=bf16", "channels_last=true", *small))


def shortened(context: Context, name: str, overrides: tuple[str, ...]) -> None:
    """Run a replication; its milestones move with its length."""
    chosen = (
        *("dataset=image_folder", f"dataset.root={photos(context)}", "loader=memory"),
        *(f"experiment=replicate/{name}", f"device={context.named}", *overrides),
        *("schedule.milestones=[0.5run,0.75run]", "dataset.val_fraction=0.02"),
    )
    trial = run(context.folder / "trial", *chosen, f"steps={STEPS if context.real else 2}")
    rate = trial["steps"] / trial["train_seconds"]
    steps = max(1, int(rate * 0.7 * context.left)) if context.real else 2
    speed = trial["images_per_second"]
    context.say(f"{speed:,.0f} images/s in a trial", partial=True, images_per_second=speed)
    result = run(context.folder / "run", *chosen, f"steps={steps}")
    text = f"{100 * result['test']['accuracy']:.2f} % after {steps:,} steps in "
    text += f"{result['train_seconds']:.0f} s, {result['images_per_second']:,.0f} images/s"
    context.say(text, partial=True, steps=steps, result=result["test"], images_per_second=speed)


def nccl(context: Context) -> None:
    """Train under torchrun in one process; the stand-in's place takes the CPU, with gloo."""
    place = "cuda" if context.real else "cpu"
    chosen = ("model=mlp", "steps=20", f"device={place}", "quiet=true")
    losses = {}
    for name, strategy in (("one process", "single"), ("under torchrun", "ddp")):
        folder = context.folder / strategy
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
        command = [sys.executable, *(launch if strategy == "ddp" else []), "-m", "trainer"]
        command += [*chosen, f"strategy={strategy}", f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, cwd=ROOT)
        losses[name] = json.loads((folder / "result.json").read_text())["val"]["loss"]
    same = abs(losses["under torchrun"] / losses["one process"] - 1)
    backend = "nccl" if context.real else "gloo, on the CPU"
    context.say(f"{backend}: the loss differs by {same:.1e} of itself", ok=same < 1e-3, **losses)


def resume(context: Context) -> None:
    """Stop a run in the middle, resume it, and compare every bit of its state."""
    import torch
    from support import digest, fitted  # pyright: ignore

    from trainer.core.errors import Interrupted

    torch.use_deterministic_algorithms(mode=True)
    equal: dict[str, bool] = {}
    for name, own in {
        "mlp": ("mining=selective_backprop", "ema=0.9"),
        "resnet8": ("model=resnet_cifar", "model.depth=8", "model.width=2", "mixer=mixup"),
    }.items():
        chosen = (f"device={context.named}", "dataset.subset=200", "checkpoint.every=3st", *own)
        whole, stopped = context.folder / f"{name}-whole", context.folder / f"{name}-stopped"
        expected = digest(fitted(whole, *chosen))
        try:
            fitted(stopped, *chosen, stop_after=2)
        except Interrupted:
            pass
        else:
            raise RuntimeError("the run was not stopped")
        equal[name] = digest(fitted(stopped, *chosen)) == expected
        text = ", ".join(f"{n} {'equal' if same else 'NOT equal'}" for n, same in equal.items())
        text = f"stopped and resumed, every bit of the state: {text}"
        context.say(text, ok=all(equal.values()), partial=True, **equal)


RUN = {
    f.__name__: f for f in (tests, equal, kernels, loop, cifar10, resnet20, cutout, nccl, resume)
}


def main() -> None:
    """Run one part."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("part", choices=list(RUN))
    arguments.add_argument("found", type=Path)
    arguments.add_argument("--device", choices=["cuda", "stand-in"], default="cuda")
    arguments.add_argument("--seconds", type=float, default=600.0)
    arguments.add_argument("--cifar10", type=Path, default=Path("../shared/data"))
    arguments.add_argument("--mnist", type=Path, default=Path("../shared/data"))
    options = arguments.parse_args()
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic algorithms
    sys.path.insert(0, str(TESTS))
    end = time.monotonic() + options.seconds
    alone = options.part in ("tests", "nccl")  # in processes of their own
    with (
        tempfile.TemporaryDirectory() as folder,
        on("cpu" if alone and options.device == "stand-in" else options.device) as named,
    ):
        data = (options.mnist.resolve(), options.cifar10.resolve())
        context = Context(options.found, options.device, named, end, *data, Path(folder))
        try:
            RUN[options.part](context)
        except Exception as error:
            context.fail(error)
            raise


if __name__ == "__main__":
    main()
