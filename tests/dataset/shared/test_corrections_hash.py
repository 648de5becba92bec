"""Which content of its corrections a run records."""

import hashlib
import io
from pathlib import Path

import pytest

from trainer.dataset.digits import Digits
from trainer.dataset.shared import table


def test_the_hash_is_that_of_the_bytes_that_were_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody saves the file again the moment it has been read."""
    path = tmp_path / "corrections.csv"
    path.write_text("id,label\n0,9\n")
    applied = hashlib.sha256(path.read_bytes()).hexdigest()
    opened = table.open_regular

    def exchanged(name: Path) -> io.BytesIO:
        with opened(name) as found:
            content = found.read()
        name.write_text("id,label\n0,8\n")
        return io.BytesIO(content)

    monkeypatch.setattr(table, "open_regular", exchanged)
    data = Digits(corrections=str(path)).open(0)
    assert data.train.labels[0] == 9
    assert data.decided["corrections_sha256"] == applied
