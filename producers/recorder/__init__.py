"""The SDK for a serving process: `Recorder` times turns and reports them to the region's collectors."""

from producers.recorder.clock import Clock
from producers.recorder.recorder import Recorder
from producers.recorder.streams import Stream
from producers.recorder.turns import Stage, Turn

__all__ = ["Clock", "Recorder", "Stage", "Stream", "Turn"]
