"""The classes of `hot_path.py`, in C."""

from producers.recorder.hot_path import BegunTurn as BegunTurn
from producers.recorder.hot_path import RecordsTurns as RecordsTurns
from producers.recorder.hot_path import TimedStage as TimedStage
from producers.recorder.hot_path import register as register
