"""TensorBoard's HParams tab: a row for each run, a column for each setting that differs."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from trainer.job.compare.hparams import write


def test_every_run_has_a_row_with_all_columns(make, node, tmp_path, compared):
    """TensorBoard takes the columns from the first stream: here of mining=none, without keep."""
    for seed in range(2):
        make(f"a{seed}", seed, 0.9)
        for keep in (0.5, 0.25):
            ohem = node("mining", "ohem") | {"keep": keep}
            make(f"b{seed}-{keep}", seed, 0.9, settings={"mining": ohem})
    write(compared(tmp_path / "runs"), tmp_path / "tensorboard")
    streams = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert streams == [f"{group}-seed-{seed}" for group in range(3) for seed in range(2)]
    rows, columns, finals = [], [], []
    for name in streams:
        events = EventAccumulator(str(tmp_path / "tensorboard" / name))
        events.Reload()
        content = events.SummaryMetadata
        experiment = metadata.parse_experiment_plugin_data(
            content("_hparams_/experiment").plugin_data.content
        )
        columns.append([one.name for one in experiment.hparam_infos])
        metrics = [one.name.tag for one in experiment.metric_infos]
        start = metadata.parse_session_start_info_plugin_data(
            content("_hparams_/session_start_info").plugin_data.content
        )
        rows.append({k: v.string_value or v.number_value for k, v in start.hparams.items()})
        content("_hparams_/session_end_info")
        finals.append(events.Scalars("test/accuracy")[0].value)
        assert metrics[:2] == ["test/accuracy", "epochs"]
        assert set(metrics) == set(events.Tags()["scalars"])
    assert columns == [["seed", "mining", "mining.keep"]] * 6
    assert rows[0] == {"seed": 0.0, "mining": "none", "mining.keep": "null"}
    assert rows[3]["mining.keep"] == "0.5"
    assert [round(value, 5) for value in finals] == [0.9] * 6
