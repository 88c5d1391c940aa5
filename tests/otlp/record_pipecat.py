"""Records what a pipeline of the installed Pipecat pushes, and what the page's observer exports of it.

`python -m tests.otlp.record_pipecat` needs `pipecat-ai` beside the test dependencies, which the tests do not, and writes
`recorded/pipecat_<version>.json`: every push of a `MetricsFrame` with whose it was, and the bodies of the exporter's requests.
The services answer at once and with made-up counts, measured by Pipecat's own code.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.otlp.exports import EXPONENTIAL, SDK_DELTA
from tests.otlp.pipecat_page import observer
from tests.otlp.record_requests import FOLDER, keeping

RESOURCE = {"service.instance.id": "recorded", "service.version": "v7", "turnwatch.pool": "realtime"}
CALLS = 3
USAGE = {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340, "cache_read_input_tokens": 128}


def recorded() -> dict[str, Any]:
    """Three turns through speech to text, a model and text to speech, with a processor behind each that passes frames on."""
    with keeping() as (endpoint, bodies):
        exporter = OTLPMetricExporter(
            endpoint=endpoint, preferred_temporality=SDK_DELTA, preferred_aggregation=EXPONENTIAL
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e7)
        provider = MeterProvider([reader], Resource(RESOURCE))
        metrics.set_meter_provider(provider)
        pushes = asyncio.run(_pushed_by_a_pipeline())
        provider.shutdown()
    return {"pushes": pushes, "requests": [base64.b64encode(body).decode() for body in bodies]}


async def _pushed_by_a_pipeline() -> list[dict[str, Any]]:
    from pipecat.frames import frames
    from pipecat.metrics.metrics import LLMTokenUsage
    from pipecat.observers.base_observer import BaseObserver, FramePushed
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.filters.identity_filter import IdentityFilter
    from pipecat.processors.frame_processor import FrameDirection
    from pipecat.services.llm_service import LLMService
    from pipecat.services.stt_service import STTService
    from pipecat.services.tts_service import TTSService
    from pipecat.workers.runner import WorkerRunner

    class Hearing(STTService):
        def can_generate_metrics(self) -> bool:
            return True

        async def run_stt(self, audio: bytes) -> AsyncIterator[Any]:
            yield None

    class Thinking(LLMService):
        def can_generate_metrics(self) -> bool:
            return True

        async def process_frame(self, frame: Any, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.TranscriptionFrame):
                await self.start_processing_metrics()
                await self.start_ttfb_metrics()
                await asyncio.sleep(0.02)
                await self.stop_ttfb_metrics()
                await self.start_llm_usage_metrics(LLMTokenUsage(**USAGE))
                await self.stop_processing_metrics()
                await self.push_frame(frames.TTSSpeakFrame("A made-up answer."))
            else:
                await self.push_frame(frame, direction)

    class Speaking(TTSService):
        def can_generate_metrics(self) -> bool:
            return True

        async def run_tts(self, text: str, context_id: str) -> AsyncIterator[Any]:
            await self.start_ttfb_metrics()
            await self.start_tts_usage_metrics(text)
            await asyncio.sleep(0.03)
            await self.stop_ttfb_metrics()
            yield frames.TTSAudioRawFrame(b"\1\0" * 1_600, 16_000, 1, context_id=context_id)

    pushes: list[dict[str, Any]] = []
    services = (STTService, LLMService, TTSService)

    class Recording(BaseObserver):
        async def on_push_frame(self, data: FramePushed) -> None:
            for fact in data.frame.data if isinstance(data.frame, frames.MetricsFrame) else ():
                is_a = [each.__name__ for each in services if isinstance(data.source, each)]
                kinds = [each.__name__ for each in type(fact).__mro__ if each.__name__.endswith("MetricsData")]
                pushes.append(
                    {"source": data.source.name, "is_a": is_a, "kinds": kinds, "fact": fact.model_dump(mode="json")}
                )

    parts = [Hearing(), IdentityFilter(), Thinking(), IdentityFilter(), Speaking(), IdentityFilter()]
    params = PipelineParams(enable_metrics=True, enable_usage_metrics=True)
    worker = PipelineWorker(Pipeline(parts), params=params, observers=[observer(), Recording()], enable_rtvi=False)
    has_started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _started(*_: Any) -> None:
        has_started.set()

    async def call() -> None:
        await has_started.wait()
        for number in range(CALLS):
            await worker.queue_frame(frames.VADUserStartedSpeakingFrame())
            await worker.queue_frame(frames.VADUserStoppedSpeakingFrame(stop_secs=0.05, timestamp=time.time()))
            await asyncio.sleep(0.1)
            said = frames.TranscriptionFrame(f"Made up, {number}.", "nobody", "2026-01-01T00:00:00Z", finalized=True)
            await parts[0].push_frame(said)
            await asyncio.sleep(0.5)
        await worker.queue_frame(frames.EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), call())
    return pushes


if __name__ == "__main__":
    path = FOLDER / f"pipecat_{version('pipecat-ai')}.json"
    told = recorded()
    lines = {name: ",\n  ".join(json.dumps(each) for each in told[name]) for name in ("pushes", "requests")}
    path.write_text(
        "{" + ",".join(f'"{name}": [\n  {text}\n]' for name, text in lines.items()) + "}\n", encoding="utf-8"
    )
