import numpy as np

from trainer.sampler.class_balanced import ClassBalanced


def test_classes_are_equally_frequent_and_so_are_examples_within_a_class(uneven):
    """Over 400 epochs of 49 rows each class has a third, shared equally by its examples."""
    rng = np.random.default_rng(0)
    counts = np.zeros(98)
    for _ in range(400):
        ids, shares = ClassBalanced().rows(uneven, rng)
        assert len(ids) == 49
        assert shares is None
        counts += np.bincount(ids.numpy(), minlength=98)
    labels = uneven.labels.numpy()
    for label, size in ((0, 30), (1, 12), (2, 7)):
        ids = uneven.ids.numpy()[labels[uneven.ids] == label]
        expected = 400 * 49 / 3 / size
        assert (np.abs(counts[ids] - expected) < 5 * expected**0.5).all()
    assert counts.sum() == counts[uneven.ids].sum() == 400 * 49


def test_draws_are_independent(uneven):
    """The nine pairs of the classes of consecutive rows are equally frequent."""
    rng = np.random.default_rng(0)
    labels = np.stack(
        [uneven.labels[ClassBalanced().rows(uneven, rng)[0]].numpy() for _ in range(400)]
    )
    pairs = np.bincount((labels[:, :-1] * 3 + labels[:, 1:]).flatten(), minlength=9)
    assert (np.abs(pairs - 400 * 48 / 9) < 5 * (400 * 48 / 9) ** 0.5).all()
