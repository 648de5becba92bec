from collections import Counter

import pytest
import torch
from support import config_of

from trainer.config.build import build
from trainer.core.errors import ConfigError
from trainer.core.seed import StepId
from trainer.mixer import Mixer
from trainer.mixer.cutmix import Cutmix
from trainer.mixer.mixup import Mixup
from trainer.mixer.random_choice import RandomChoice
from trainer.mixer.ricap import Ricap


def taken(choice: RandomChoice, owned, steps: int = 600) -> Counter[str]:
    """Count the mixers used: RICAP gives four labels, mixup blends values, CutMix does not."""
    counts: Counter[str] = Counter()
    for step in range(steps):
        mixed = choice(owned(3), StepId(0, 0, step))
        whole = ((mixed.images == 0) | (mixed.images == 1)).all()
        counts["ricap" if mixed.labels.shape[1] == 4 else "cutmix" if whole else "mixup"] += 1
    return counts


def test_by_default_each_mixer_is_equally_likely(owned) -> None:
    """mixup's permutation of three is the identity in one case of six, counted as CutMix."""
    choice = RandomChoice(mixers={"mixup": Mixup(), "cutmix": Cutmix(), "ricap": Ricap()})
    counts = taken(choice, owned)
    assert counts["ricap"] == pytest.approx(200, abs=35)  # deviation 12
    assert counts["mixup"] == pytest.approx(200 * 5 / 6, abs=35)


def test_weights_are_relative_frequencies(owned) -> None:
    choice = RandomChoice(mixers={"cutmix": Cutmix(), "ricap": Ricap()}, weights=[3.0, 1.0])
    assert taken(choice, owned)["ricap"] == pytest.approx(150, abs=32)  # deviation 11
    never = RandomChoice(mixers={"cutmix": Cutmix(), "ricap": Ricap()}, weights=[0.0, 1.0])
    assert taken(never, owned, 50) == {"ricap": 50}


def test_masks_are_mixed_like_the_images(located) -> None:
    choice = RandomChoice(mixers={"cutmix": Cutmix(), "ricap": Ricap()})
    choice.bind("mask")
    for step in range(10):
        mixed = choice(located(4), StepId(0, 0, step))
        assert torch.equal(mixed.labels, mixed.images.long())


def test_a_batch_may_stay_unmixed(owned) -> None:
    choice = RandomChoice(mixers={"cutmix": Cutmix(probability=0.5)}, probability=0.5)
    batch = owned(3)
    left = sum(choice(batch, StepId(0, 0, step)) is batch for step in range(400))
    assert left == pytest.approx(300, abs=35)  # deviation 9


@pytest.mark.parametrize("weights", [[1.0], [0.0, 0.0], [1.0, 1.0, 1.0]])
def test_weights_are_checked(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"mixer\.weights .* a, b"):
        RandomChoice(mixers={"a": Mixup(), "b": Cutmix()}, weights=weights)
    with pytest.raises(ValueError, match=r"mixer\.weights must be in \[0, inf\)"):
        RandomChoice(mixers={"a": Mixup(), "b": Cutmix()}, weights=[-1.0, 1.0])


def test_mixers_are_built_from_the_command_line() -> None:
    node = config_of(
        "mixer=random_choice", "mixer.mixers.mixup.alpha=0.2", "+mixer@mixer.mixers.ricap=ricap"
    )["mixer"]
    choice = build(node, "mixer", Mixer)
    assert [type(mixer) for mixer in choice.mixers.values()] == [Mixup, Cutmix, Ricap]
    assert choice.mixers["mixup"].alpha == 0.2


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("alpha", 0, "mixer.mixers.mixup.alpha must be in (0, inf), got 0.0"),
        ("alpha", "x", "mixer.mixers.mixup.alpha must be a number, got x"),
        ("alpa", 1, "mixer.mixers.mixup.alpa: Mixup has no such setting."),
        ("until", "3", "mixer.mixers.mixup.until must be a duration such as"),
    ],
)
def test_settings_of_the_mixers_are_named(key: str, value, line: str) -> None:
    node = config_of("mixer=random_choice")["mixer"]
    node["mixers"]["mixup"][key] = value
    with pytest.raises(ConfigError) as error:
        build(node, "mixer", Mixer)
    assert str(error.value).startswith(line)
