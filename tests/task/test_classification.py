import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from trainer.task.classification import Classification

TASK = Classification()
RNG = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(200, 5, generator=RNG)
LABELS = torch.randint(0, 4, (200,), generator=RNG)  # no example is of class 4

P = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
Y = torch.tensor([0, 2])


def test_scores_by_hand():
    """p_y is 0.7 and 0.2; the largest other probability is 0.2 and 0.5."""
    scores = {name: TASK.score(name, P.log(), Y) for name in TASK.scores}
    assert scores.keys() == {"error", "confidence", "margin", "entropy", "el2n"}
    assert scores["error"].tolist() == [0, 1]
    torch.testing.assert_close(scores["confidence"], torch.tensor([0.3, 0.8]))
    torch.testing.assert_close(scores["margin"], torch.tensor([-0.5, 0.3]))
    entropy = -0.7 * math.log(0.7) - 0.2 * math.log(0.2) - 0.1 * math.log(0.1)
    assert scores["entropy"][0].item() == pytest.approx(entropy)
    el2n = torch.tensor([0.09 + 0.04 + 0.01, 0.25 + 0.09 + 0.64]).sqrt()
    torch.testing.assert_close(scores["el2n"], el2n)


def test_records_by_hand():
    records = TASK.records(P.log(), Y)
    assert records["correct"].tolist() == [1, 0]
    assert records["prediction"].tolist() == [0, 0]
    torch.testing.assert_close(records["nll"], -torch.tensor([0.7, 0.2]).log())
    torch.testing.assert_close(records["margin"], torch.tensor([0.5, -0.3]))
    torch.testing.assert_close(records["logit_margin"], torch.tensor([3.5, 0.4]).log())


def test_metrics_by_hand():
    """The two classes that occur have recall 2/3 and 0."""
    logits = torch.tensor([[2.0, 0, 0], [2, 0, 0], [0, 0, 2], [2, 0, 0]])
    metrics = TASK.metrics(TASK.records(logits, torch.tensor([0, 0, 0, 1])))
    assert metrics["accuracy"] == 0.5
    assert metrics["balanced_accuracy"] == pytest.approx(1 / 3)


def test_metrics_against_torchmetrics():
    metrics = TASK.metrics(TASK.records(LOGITS, LABELS))
    p = LOGITS.softmax(1)
    assert metrics["accuracy"] == pytest.approx((p.argmax(1) == LABELS).float().mean().item())
    recalls = multiclass_accuracy(p, LABELS, num_classes=5, average="none")[:4]
    assert metrics["balanced_accuracy"] == pytest.approx(recalls.mean().item())
    error = multiclass_calibration_error(p, LABELS, num_classes=5, n_bins=15)
    assert metrics["ece"] == pytest.approx(error.item(), abs=1e-6)
    assert metrics["nll"] == pytest.approx(F.cross_entropy(LOGITS, LABELS).item())
    brier = (p - F.one_hot(LABELS, 5)).square().sum(1).mean().item()
    assert metrics["brier"] == pytest.approx(brier)


def test_nan_outputs_give_a_nan_calibration_error():
    """NaN has no bin; it once raised an IndexError instead of ending the run with exit code 4."""
    metrics = TASK.metrics(TASK.records(LOGITS.index_fill(0, torch.tensor(3), math.nan), LABELS))
    assert math.isnan(metrics["ece"])
    assert math.isnan(metrics["nll"])
    assert 0 < metrics["accuracy"] < 1


@pytest.mark.parametrize(("accuracy", "learned"), [(1.0, True), (0.99, True), (0.98, False)])
def test_learned_needs_an_accuracy_of_99_percent(accuracy, learned):
    assert TASK.learned({"accuracy": accuracy}) is learned


def random_outputs(classes: int, examples: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [N, C] that know something of the labels [N]; class 1 is never predicted."""
    rng = torch.Generator().manual_seed(classes)
    labels = torch.randint(0, classes, (examples,), generator=rng)
    logits = torch.randn(examples, classes, generator=rng)
    logits[torch.arange(examples), labels] += 1
    if classes > 2:
        logits[:, 1] -= 20
    return logits, labels


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_report_agrees_with_scikit_learn(classes):
    logits, labels = random_outputs(classes)
    task, names = Classification(), tuple(f"c{i}" for i in range(classes))
    report = task.report(logits, task.records(logits, labels), names)
    p, predictions = logits.double().softmax(1).numpy(), logits.argmax(1)
    assert report.confusion == metrics.confusion_matrix(labels, predictions).tolist()
    reference = metrics.precision_recall_fscore_support(labels, predictions, zero_division=np.nan)
    for i, name in enumerate(names):
        for measure, values in zip(
            ("precision", "recall", "f1", "support"), reference, strict=True
        ):
            assert report.classes[name][measure] == pytest.approx(values[i], nan_ok=True)
    expected = {"macro_f1": metrics.f1_score(labels, predictions, average="macro")}
    if classes == 2:
        expected["auroc"] = metrics.roc_auc_score(labels, p[:, 1])
        expected["average_precision"] = metrics.average_precision_score(labels, p[:, 1])
    else:
        expected["auroc"] = metrics.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    if classes >= 10:
        expected["top5_accuracy"] = metrics.top_k_accuracy_score(labels, p, k=5)
    assert report.metrics == pytest.approx(expected, abs=1e-12)


def test_a_class_without_examples_is_left_out_of_the_report():
    """Of a, b, c only a and b occur, and c is predicted once: macro F1 counts it, AUROC cannot."""
    logits = torch.tensor([[3.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 1, 3]])
    labels = torch.tensor([0, 0, 1, 1])
    task = Classification()
    report = task.report(logits, task.records(logits, labels), ("a", "b", "c"))
    assert report.classes["c"] == pytest.approx(
        {"precision": 0, "recall": math.nan, "f1": 0, "auroc": math.nan, "support": 0}, nan_ok=True
    )
    assert report.metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert report.metrics["auroc"] == 1, "each by hand"


def test_of_very_many_classes_there_is_no_confusion_matrix():
    logits, labels = random_outputs(1001, examples=50)
    task = Classification()
    report = task.report(logits, task.records(logits, labels), tuple(map(str, range(1001))))
    assert "confusion" not in report.record()
    assert len(report.record()["classes"]) == 1001
