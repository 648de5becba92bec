"""TensorBoard events by tensorboard's own writer; importing torch.utils.tensorboard takes 1.5 s."""

# pyright: reportAttributeAccessIssue=false

import threading
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter, _AsyncWriterThread

from trainer.core.text import plain

HISTOGRAM_BINS = 64


def quiet_about_writers(args: threading.ExceptHookArgs) -> None:
    """Print no traceback for the error of a writer's thread: the next event raises it."""
    if not (isinstance(args.thread, _AsyncWriterThread) and isinstance(args.exc_value, OSError)):
        threading.__excepthook__(args)


class EventStream:
    """Writes an event file in a thread of its own. Steps are optimizer steps."""

    def __init__(self, folder: Path, *, resumed_at: int | None = None) -> None:
        threading.excepthook = quiet_about_writers
        self.writer = EventFileWriter(str(folder))
        if resumed_at is not None:  # readers drop later steps of the earlier files
            event = Event(wall_time=time.time(), step=resumed_at + 1, file_version="brain.Event:2")
            self.writer.add_event(event)
            start = SessionLog(status=SessionLog.SessionStatus.START)
            self.writer.add_event(
                Event(wall_time=time.time(), step=resumed_at + 1, session_log=start)
            )

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add a scalar for each tag."""
        self.add(
            Summary(value=[Summary.Value(tag=plain(t), simple_value=v) for t, v in values.items()]),
            step,
        )

    def image(self, tag: str, pixels: np.ndarray, step: int) -> None:
        """Add an image `view/<tag>`, uint8 [H, W] or [H, W, 3]; TensorBoard sorts it after val."""
        buffer = BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        image = Summary.Image(
            height=pixels.shape[0],
            width=pixels.shape[1],
            colorspace=3 if pixels.ndim == 3 else 1,
            encoded_image_string=buffer.getvalue(),
        )
        self.add(Summary(value=[Summary.Value(tag=plain(f"view/{tag}"), image=image)]), step)

    def histogram(self, tag: str, values: np.ndarray, step: int) -> None:
        """Add a histogram of an array's finite values, of any shape; nothing if there are none."""
        values = values[np.isfinite(values)].astype(np.float64)
        if not values.size:
            return
        counts, edges = np.histogram(values, HISTOGRAM_BINS)
        histogram = HistogramProto(
            min=values.min(),
            max=values.max(),
            num=values.size,
            sum=values.sum(),
            sum_squares=np.square(values).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self.add(Summary(value=[Summary.Value(tag=plain(tag), histo=histogram)]), step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        """Add a text that TensorBoard renders as Markdown."""
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        tensor = TensorProto(
            dtype=DT_STRING,
            string_val=[markdown.encode()],
            tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
        )
        value = Summary.Value(
            tag=plain(tag), tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin)
        )
        self.add(Summary(value=[value]), step)

    def hparams(self, settings: Mapping[str, Any], metrics: list[str]) -> None:
        """Add a row to the HParams tab: the settings, and the tags of the final metrics.

        The session goes into this stream, so that the tab shows the run itself and no sub-run.
        """
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
        from tensorboard.plugins.hparams.summary_v2 import (
            HParam,
            Metric,
            hparams_config_pb,
            hparams_pb,
        )

        shown = {
            plain(k): v if isinstance(v, (bool, int, float)) else plain(str(v))
            for k, v in settings.items()
        }
        self.add(
            hparams_config_pb(
                [HParam(name) for name in shown], [Metric(plain(m)) for m in metrics]
            ),
            0,
        )
        self.add(hparams_pb(shown), 0)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time()
        )
        data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        value = Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data)
        )
        self.add(Summary(value=[value]), 0)

    def add(self, summary: Summary, step: int) -> None:
        """Queue a summary for the writer's thread."""
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Write the queued events, then close the file."""
        self.writer.close()
