"""The writer of TensorBoard events."""

from pathlib import Path

import pytest

from trainer.report.tensorboard import EventStream


def test_a_failing_disk_is_raised_by_the_next_event_and_prints_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = EventStream(tmp_path)
    worker = stream.writer._async_writer._worker

    def full(_: bytes) -> None:
        raise OSError(27, "File too large")

    worker._record_writer.write = full
    stream.scalars({"loss": 1.0}, 1)
    worker.join(10)
    with pytest.raises(OSError, match="File too large"):
        stream.scalars({"loss": 1.0}, 2)
    assert "Traceback" not in capfd.readouterr().err
