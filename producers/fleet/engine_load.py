"""The language model's GPUs under load, by the service model that is fitted on a recorded load test.

Running requests decode together, and the more of them there are the slower each is: with r = arrivals per ms and GPU ×
tokens, the batch settles at b = r (base + b × per_running), capped by the engine's slots and by its KV cache.
"""

from __future__ import annotations

from dataclasses import dataclass

from producers.fleet.calibration import load_calibration
from producers.service_model import ServiceModel, load_model
from schemas.arrays import Floats

KV_BLOCKS_PER_GPU = 2_048
PROMPT_TOKENS_MEAN = 1_000
"""Of the recorded load test's longest prompts; a longer prompt holds as many more blocks."""


@dataclass(frozen=True, slots=True)
class LlmEngine:
    """One GPU of the served model: `times` as slow as the one that was measured."""

    times: float
    tokens_out_mean: float
    model: ServiceModel

    def running(self, requests_per_ms: float) -> float:
        """The batch that decodes on a GPU that takes so many requests."""
        tokens = requests_per_ms * self.tokens_out_mean * self.times
        room = 1 - tokens * self.model.decode_ms_per_running
        settled = tokens * self.model.decode_ms_base / room if room > 0 else float(self.model.slots)
        return min(settled, float(self.model.slots))

    def prefill_ms(self, prompt_tokens: Floats, running: float) -> Floats:
        """How long each prompt keeps the GPU's prefill; tokens that are cached do not count."""
        model = self.model
        per_prompt = model.prefill_ms_base + model.prefill_ms_per_running * running
        worked: Floats = self.times * (per_prompt + model.prefill_ms_per_token * prompt_tokens)
        return worked

    def delivery_ms(self, running: float) -> float:
        """From the first token's making to its caller."""
        return self.times * self.model.delivery_ms_per_running * running

    def step_ms(self, running: float) -> float:
        """One decode step of the batch: one token for each running request."""
        return self.times * (self.model.decode_ms_base + self.model.decode_ms_per_running * running)

    def gpu_ms_per_token(self) -> float:
        """GPU time that a generated token adds to its batch's step; the step's own base is nobody's."""
        return self.times * self.model.decode_ms_per_running

    def kv_blocks_used(self, running: float, prompt_tokens_mean: float) -> float:
        """Blocks of one GPU's KV cache that its batch holds."""
        share = load_calibration().kv_cache.share_per_running * running * prompt_tokens_mean / PROMPT_TOKENS_MEAN
        return min(1.0, share) * KV_BLOCKS_PER_GPU


def llm_engine(times: float, tokens_out_mean: float) -> LlmEngine:
    """The engine that a fleet file says."""
    return LlmEngine(times, tokens_out_mean, load_model())
