"""scripts/gpu_check.py: its order, its budget, and what it writes; the parts need a GPU."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gpu_check
import pytest
from gpu_check import LEAST, PARTS, RESERVE, Part, Processes, Report, Stopped, check

THREE = (Part("a", "first", 0.5), Part("b", "second", 0.25), Part("c", "third", 0.25))
FOUND = {"ok": True, "verdict": "fine", "figures": {"x": 1}}


def test_every_part_is_there_in_order_of_worth():
    """Each is a function of gpu_parts.py, which is not imported: a stand-in comes before torch."""
    text = (Path(gpu_check.__file__).parent / "gpu_parts.py").read_text()
    assert [part.name for part in PARTS][:4] == ["tests", "equal", "kernels", "loop"]
    assert all(f"def {part.name}(context: Context)" in text for part in PARTS)
    assert sum(part.share for part in PARTS) == pytest.approx(1)


def test_time_that_is_left_over_is_for_the_parts_after(tmp_path):
    now, given = [0.0], {}

    def start(part: Part, seconds: float) -> dict:
        given[part.name] = seconds
        now[0] += {"a": 20, "b": 70}[part.name]
        known = json.loads((tmp_path / "gpu_check.json").read_text())["parts"]
        assert list(known) == list(given)[:-1], "what was found before is written"
        return dict(FOUND)

    report = Report(tmp_path, {"date": "2026-11-29", "minutes": 1.75, "machine": "m"})
    check(THREE, 100 + RESERVE, report, start, clock=lambda: now[0])
    assert given == {"a": 50, "b": 40}
    assert now[0] > 100 - LEAST
    table = (tmp_path / "gpu_check.md").read_text()
    assert table.startswith("`python scripts/gpu_check.py --minutes 1.75`, 2026-11-29, m:")
    assert "| first | fine | 20 |" in table
    assert "| third | **not ok**: not started, 10 s left | 0 |" in table


PATIENCE = 4.0  # seconds: far more than a part here takes to start
PARTIAL = {"ok": True, "partial": True, "verdict": "2 of 3"}
ENDS = {  # what a part does, and what is said of it
    "fails": (f"write({FOUND}); raise SystemExit(3)", (False, "fine (exit code 3, see a.log)")),
    "finds nothing": ("pass", (False, "nothing was found")),
    "is stopped": (f"write({PARTIAL}); time.sleep(60)", (True, "2 of 3 (stopped after 4 s)")),
    "ends": (f"write({FOUND})", (True, "fine")),
}


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that puts a few lines in the place of gpu_parts.py; the options of a check."""

    def make(body: str) -> SimpleNamespace:
        write = "write = lambda found: open(sys.argv[2], 'w').write(json.dumps(found))"
        text = f"import json, signal, sys, time\n{write}\n{body}\n"
        (tmp_path / "gpu_parts.py").write_text(text)
        monkeypatch.setattr(gpu_check, "HERE", tmp_path)
        return SimpleNamespace(device="stand-in", cifar10=tmp_path, mnist=tmp_path)

    return make


@pytest.mark.parametrize("how", ENDS)
def test_a_part_that_ends_badly_says_so(tmp_path, script, how):
    body, said = ENDS[how]
    outcome = Processes(script(body), tmp_path).start(THREE[0], PATIENCE)
    assert (outcome["ok"], outcome["verdict"]) == said


def test_a_stop_loses_nothing(tmp_path, script):
    """SIGTERM in the middle of a part: what it has found is in the report, and it has ended."""
    pid = f"open('{tmp_path}/pid', 'w').write(str(os.getpid()))"
    body = f"import os\nwrite({PARTIAL}); {pid}; os.kill(os.getppid(), signal.SIGTERM)"
    processes = Processes(script(f"{body}\ntime.sleep(60)"), tmp_path)
    report = Report(tmp_path, {"date": "d", "minutes": 1})
    before = signal.signal(signal.SIGTERM, gpu_check.stop)
    try:
        with pytest.raises(Stopped) as stopped:
            check(THREE, 60.0, report, processes.start)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert "| first | 2 of 3 (the check was stopped) |" in (tmp_path / "gpu_check.md").read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("minutes", ["-1", "0", "nan"])
def test_there_must_be_time(monkeypatch, capsys, minutes):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--minutes", minutes])
    with pytest.raises(SystemExit, match="2"):
        gpu_check.main()
    assert f"--minutes {minutes}: must be above 0" in capsys.readouterr().err


def test_without_a_gpu_it_says_what_to_do(tmp_path):
    if gpu_check.gpus():
        pytest.skip("there is a GPU")
    command = [sys.executable, gpu_check.__file__, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--device cuda: the driver sees no GPU; --device stand-in" in done.stderr
    assert not (tmp_path / "out").exists()
