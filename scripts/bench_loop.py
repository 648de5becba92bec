"""The runner's training speed, against a hand-written loop and other programs.

    python scripts/bench_loop.py --root ../shared/data          # about twenty minutes
    python scripts/bench_loop.py --models simple_cnn --threads 1 -- channels_last=true
    python scripts/bench_loop.py --rivals bare trainer          # without lightning

MNIST, Adam, cross entropy, no validation; each rival has a process, and they take turns:

bare       a hand-written loop over the uint8 images in memory, with the fused optimizer: the limit
textbook   torchvision's data set, ToTensor and Normalize, a DataLoader, `loss.item()` each step
lightning  pytorch-lightning on the same DataLoader, logging loss and accuracy to TensorBoard
trainer    this runner with its defaults: metrics, difficulty store, TensorBoard, finite checks

Figures are medians over the repeats of images per second, with the lowest and the highest. Ratios
are formed within each repeat. The time of an epoch is all of it, with the plan, the store's flush
and the log, but not the checkpoint that follows (scripts/bench_checkpoint.py).
"""

from collections.abc import Iterable

from loop_rivals import HALF, IMAGES, RIVALS
from race import Race, machine, parser, ratios, row, spread, table
from rivals import Setting

BATCHES, THREADS = (64, 512), (1, 2)
GOALS = {"mlp": (0.92, 5.0), "simple_cnn": (0.97, 1.1)}  # against bare and lightning, batch 64


def others(rivals: Iterable[str]) -> list[str]:
    """List the rivals that the trainer is compared with."""
    rivals = list(rivals)
    return [name for name in rivals if name != "trainer"] if "trainer" in rivals else []


def show(setting: Setting, speeds: dict[str, list[float]]) -> None:
    """Print a row of the table."""
    row(
        *(f"`{setting.model}`", setting.batch_size, setting.threads),
        *(spread(values, ",.0f") for values in speeds.values()),
        *(spread(ratios(speeds["trainer"], speeds[name]), ".2f") for name in others(speeds)),
    )


def main() -> None:
    """Run every setting, one after the other."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("overrides", nargs="*", help="overrides of the trainer's run")
    arguments.add_argument("--root", default="../shared/data", help="folder of MNIST/raw")
    arguments.add_argument("--models", nargs="*", choices=list(IMAGES), default=list(IMAGES))
    every = RIVALS | HALF
    arguments.add_argument("--rivals", nargs="*", choices=list(every), default=list(RIVALS))
    arguments.add_argument("--device", default="cpu", help="of bare and trainer")
    arguments.add_argument("--batches", nargs="*", type=int, default=BATCHES)
    arguments.add_argument("--threads", nargs="*", type=int, default=THREADS)
    options = arguments.parse_args()
    packages = ("torch", "torchvision", *({"lightning"} & set(options.rivals)))
    print(f"{machine(*packages)}; {options.repeats} repeats, images/s: median (lowest to highest)")
    compared = [f"trainer / {name}" for name in others(options.rivals)]
    table(["model", "batch", "threads", *options.rivals, *compared])
    with Race({name: every[name] for name in options.rivals}) as race:
        for threads in options.threads:
            for model in options.models:
                for batch_size in options.batches:
                    sizes = IMAGES[model], batch_size, model, threads
                    own = {"device": options.device, "overrides": tuple(options.overrides)}
                    setting = Setting(options.root, *sizes, **own)
                    show(setting, race.run(setting, options.repeats))
    for model, (bare, lightning) in GOALS.items():
        print(f"goal, one thread, batch 64: {model} {bare} of bare, {lightning} of lightning")


if __name__ == "__main__":
    main()
