"""Hands the parts of a run to its job; writes its result and its status."""

import hashlib
import json
import platform
import resource
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.optim import Optimizer

import trainer
from trainer.config.build import check_signature
from trainer.core.errors import ConfigError, Interrupted, OutOfMemoryError, TrainerError, complain
from trainer.core.option import option_of
from trainer.core.signals import Signals
from trainer.dataset import Split
from trainer.distill import Teacher, find
from trainer.distributed.parts import SharedSignals
from trainer.distributed.world import World, leave
from trainer.report.console import Console
from trainer.run.components import Components
from trainer.run.memory import is_full
from trainer.run.monitors import check_monitors
from trainer.storage.run_folder import RunFolder, write_json
from trainer.storage.saved_run import SavedRun, known_code
from trainer.trained.features import encode


class Run(Components):
    """One run: its parts, its folder, its signals."""

    def __init__(
        self,
        config: dict[str, Any],
        folder: RunFolder,
        console: Console,
        overrides: list[str],
        sources: list[str],
    ) -> None:
        super().__init__(config, console)
        self.folder = folder
        self.overrides = overrides
        self.sources = sources
        self.signals = Signals()

    def enter(self, world: World) -> None:
        """Run as one of the processes of a world."""
        self.world = world
        if not world.alone:
            self.signals = SharedSignals(world)
            world.last_words = lambda code, text: self.folder.write_status("failed", code, text)

    def check(self) -> None:
        """Build every part that needs no data, so that a bad setting is refused before it opens."""
        names = (
            "device job task dataset loader init augmentation mixer sampler loss miner distiller"
        )
        for part in f"{names} schedule warmup early_stopping postprocess interval".split():
            getattr(self, part)
        self.schedule.prepare()
        check_signature(
            self.config["model"], "model", "shape", "outputs"
        )  # its ranges need the shape
        self.check_optimizer()
        if not (self.world.alone or self.job.parallel):
            job = option_of(self.job)
            raise ConfigError(f"job={job} runs in one process; start it without torchrun")
        if self.job.needs_data:
            check_monitors(self)  # opens the data: one that is absent leaves no folder

    def check_optimizer(self) -> None:
        """Take a step with it: some of torch's need a closure, or sparse gradients."""
        probe = torch.nn.utils.skip_init(nn.Linear, 2, 2)  # draws no random number
        optimizer = self.make("optimizer", Optimizer, model=probe, params=probe.parameters())
        for parameter in probe.parameters():
            parameter.grad = torch.zeros_like(parameter)
        try:
            optimizer.step()
        except (TypeError, RuntimeError) as error:
            target = self.config["optimizer"]["_target_"]
            raise ConfigError(f"optimizer._target_={target} cannot train here: {error}") from error

    def start(self) -> int:
        """Do the job, with the status of the folder kept."""
        if self.world.broadcast(self.folder.status.get("state")) == "finished":
            self.console.say(f"{self.folder.path} is finished")
            return 0
        self.folder.write_status("running")
        if self.world.is_main:
            text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
            (self.folder.path / "config.yaml").write_text(text)
            self.console.open(self.folder.path / "train.log")
        began = time.perf_counter()
        try:
            with self.signals:
                result = self.job(self)
        except Exception as error:
            return self.fail(error)
        result |= self.about(time.perf_counter() - began)
        if self.world.is_main:
            write_json(self.folder.path / "result.json", result)
        self.folder.write_status("finished", 0)
        return 0

    def fail(self, error: Exception) -> int:
        """Write the failed status and one line; returns the exit code."""
        self.console.stop()
        if is_full(error) and not isinstance(error, TrainerError):
            sizes = (f"{name}={self.config[name]}" for name in ("batch_size", "eval_batch_size"))
            error = OutOfMemoryError(
                f"out of memory on {self.device} with {' and '.join(sizes)}; "
                "lower them, or raise accumulate"
            )
        elif isinstance(error, ValueError) and not self.config["debug"]:
            error = ConfigError(str(error))
        code = error.exit_code if isinstance(error, TrainerError) else 1
        if self.config["debug"]:
            traceback.print_exception(error)
        text = str(error) if isinstance(error, TrainerError) else f"{type(error).__name__}: {error}"
        code, text, speaks = self.world.verdict(error, code, text)
        if speaks:
            complain(text)
        self.console.record(text)
        state = "preempted" if isinstance(error, Interrupted) else "failed"
        self.folder.write_status(state, code, text)
        if not self.world.agreed(error):
            leave(code, agreed=False)
        return code

    def about(self, seconds: float) -> dict[str, Any]:
        """What every result says of its run."""
        text = json.dumps(self.config, sort_keys=True)
        return {
            "seconds": seconds,
            "peak_memory_bytes": self.peak_memory(),
            "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
            "versions": {
                "trainer": trainer.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def peak_memory(self) -> int:
        """Bytes: of the GPU where there is one, otherwise of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def encode(self, reference: str, split: Split) -> Tensor:
        """Features [n, d] of a split's examples by the model of a reference run."""
        return encode(self, reference, split)

    def teacher(self, reference: str) -> Callable[[], Teacher]:
        """What loads the model that a reference names, to learn from."""
        return find(self, reference)

    def like(self, source: SavedRun) -> "Run":
        """The parts of another run: its settings, but for those that the command line gives."""
        config = self.config | source.config(known_code(self))
        for override in self.overrides:
            key = override.lstrip("+~").split("=", 1)[0].split("@")[0]
            if key in ("experiment", "sweep"):
                continue  # a run is what it was, whatever it began as
            node, held, *parts = config, self.config, *key.split(".")
            for part in parts[:-1]:
                node, held = node[part], held[part]
            node[parts[-1]] = held[parts[-1]]
        for name in ("device", "threads", "run", "split", "job"):
            config[name] = self.config[name]
        other = Run(config, self.folder, self.console, self.overrides, self.sources)
        other.restores = True
        return other
