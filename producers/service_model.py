"""How long a GPU takes to answer, against the load it is under: time to first token and whole time.

One serving engine is a prefill that works one prompt after the other, and a batch of at most `slots` requests that
decode together, each token taking longer the more of them there are. A prompt waits for the prefill and a free slot,
first come, first served; the time it then takes grows with its length and with the batch that decodes in between, and
its first token reaches the caller later the more answers are being delivered. The coefficients are fitted on six of
twelve recorded load scales and checked on the other six (`service_model.json` names source and licence;
`service_fit.py` fits again). Prompts far beyond the recorded 1,015 tokens are extrapolated.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from schemas.arrays import Floats

FITTED = Path(__file__).with_suffix(".json")
UTILISATION_MAX = 0.5
"""Of prefill and decode together, for the number of GPUs that a trace is given: what keeps queues short."""


@dataclass(frozen=True, slots=True)
class Served:
    """Latency of each request, from its arrival, in ms."""

    first_token_ms: Floats
    total_ms: Floats


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """Coefficients of one engine, in ms; `_spread` is of the logarithm of what the model does not explain."""

    slots: int
    prefill_ms_base: float
    prefill_ms_per_token: float
    prefill_ms_per_running: float
    delivery_ms_per_running: float
    decode_ms_base: float
    decode_ms_per_running: float
    first_token_spread: float
    decode_spread: float

    def gpus_needed(self, arrived_ms: Floats, prompt_tokens: Floats, tokens_out: Floats) -> int:
        """Fewest GPUs that these requests keep busy for at most `UTILISATION_MAX` of the time."""
        span_ms = max(float(np.ptp(arrived_ms)), 60_000.0)
        prefill_ms = self.prefill_ms_base * len(arrived_ms) + self.prefill_ms_per_token * float(prompt_tokens.sum())
        decode_ms = self.decode_ms_per_running * float(tokens_out.sum())
        return max(1, int(np.ceil((prefill_ms + decode_ms) / span_ms / UTILISATION_MAX)))

    def sample(self, arrived_ms: Floats, prompt_tokens: Floats, tokens_out: Floats, gpus: int, seed: int) -> Served:
        """Latencies of requests, sorted by arrival, that `gpus` engines take in turn; deterministic in the seed."""
        rng = np.random.default_rng(seed)
        noise_first = np.exp(self.first_token_spread * rng.standard_normal(len(arrived_ms)))
        noise_decode = np.exp(self.decode_spread * rng.standard_normal(len(arrived_ms)))
        first, total = np.zeros(len(arrived_ms)), np.zeros(len(arrived_ms))
        for gpu in range(gpus):
            mine = slice(gpu, None, gpus)
            served = self.serve(arrived_ms[mine], prompt_tokens[mine], tokens_out[mine])
            first[mine] = served.first_token_ms * noise_first[mine]
            total[mine] = first[mine] + (served.total_ms - served.first_token_ms) * noise_decode[mine]
        return Served(first, total)

    def serve(self, arrived_ms: Floats, prompt_tokens: Floats, tokens_out: Floats) -> Served:
        """Expected latencies on one engine. Each request waits for those before it, so this is a loop by nature."""
        engine = _Engine(self)
        first = [
            engine.admit(place, at_ms, tokens, out)
            for place, (at_ms, tokens, out) in enumerate(
                zip(arrived_ms.tolist(), prompt_tokens.tolist(), tokens_out.tolist(), strict=True)
            )
        ]
        engine.advance(float("inf"))
        # An answer is delivered as its first token was, so an end is never before its beginning.
        ended = np.maximum(np.array([engine.ended_ms[place] for place in range(len(first))]), first)
        return Served(np.array(first) - arrived_ms, ended - arrived_ms)


class _Engine:
    """One GPU in time. Decoding is measured in steps: a request ends after as many of the batch as it has tokens."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._now_ms = 0.0
        self._steps = 0.0
        self._prefill_free_ms = 0.0
        self._running: list[tuple[float, int]] = []
        self.ended_ms: dict[int, float] = {}

    def admit(self, place: int, arrived_ms: float, prompt_tokens: float, tokens_out: float) -> float:
        """When the request has its first token; it decodes from then on."""
        model = self._model
        begins_ms = max(arrived_ms, self._prefill_free_ms)
        self.advance(begins_ms)
        while len(self._running) >= model.slots:
            begins_ms = max(begins_ms, self._end_next())
        # While a prompt is worked on nobody decodes; the batch takes its step after it.
        self._now_ms = begins_ms + model.prefill_ms_base + model.prefill_ms_per_token * prompt_tokens
        self._prefill_free_ms = self._now_ms + model.prefill_ms_per_running * len(self._running)
        first_ms = self._prefill_free_ms + model.delivery_ms_per_running * len(self._running)
        self.advance(self._prefill_free_ms)
        heapq.heappush(self._running, (self._steps + max(0.0, tokens_out - 1), place))
        return first_ms

    def advance(self, until_ms: float) -> None:
        """Lets the batch decode until then."""
        while self._running and self._next_end_ms() <= until_ms:
            self._end_next()
        if self._running:
            self._steps += (until_ms - self._now_ms) / self._step_ms()
        if until_ms != float("inf"):
            self._now_ms = max(self._now_ms, until_ms)

    def _step_ms(self) -> float:
        return self._model.decode_ms_base + self._model.decode_ms_per_running * len(self._running)

    def _next_end_ms(self) -> float:
        return self._now_ms + (self._running[0][0] - self._steps) * self._step_ms()

    def _end_next(self) -> float:
        self._now_ms = self._next_end_ms()
        self._steps, place = heapq.heappop(self._running)
        self.ended_ms[place] = self._now_ms
        return self._now_ms


def load_model(path: Path = FITTED) -> ServiceModel:
    """The committed coefficients."""
    return ServiceModel(**json.loads(path.read_text())["coefficients"])


def as_document(model: ServiceModel, scales: tuple[int, ...]) -> str:
    """What is committed: coefficients with where they come from."""
    document = {
        "meaning": "service model of one 24 GB GPU under vLLM: time to first token and whole time against load",
        "source": "vllm_load_test of BurstGPT (500 requests at each of 12 load scales), scales used to fit below",
        "licence": "MIT-style, Copyright (c) 2023, 2024 BurstGPT Code",
        "fitted_scales": list(scales),
        "coefficients": asdict(model),
    }
    return json.dumps(document, indent=2) + "\n"
