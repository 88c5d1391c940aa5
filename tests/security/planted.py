"""What may not leave a host, by the reason for which it is refused. Every value is made up."""

from __future__ import annotations

import base64
import random
import uuid

from schemas.refusals import Refusal

PRIVATE: dict[Refusal, tuple[str, ...]] = {
    Refusal.EMAIL: ("ana.lopez@example.com", "ana.lopez%40example.com", "ana.lopez-at-example.com"),
    Refusal.PHONE: (
        "4915112345678",
        "+49 151 12345678",
        "49-151-12345678",
        "415-555-2671",
        "(415) 555-2671",
        "030.123.45678",
        "tel4915112345678",
        "5555555555554444",
    ),
    Refusal.HIGH_ENTROPY: (
        "9f86d081884c7d659a2feaa0c55ad015",
        "t-9f86d081884c7d65",
        "0b5e9d2a-6c1f-4a3e-9d41-2f7d1f0a9c11",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
        "sk-proj-q8Fj2kZ0x7Vb3nW9ty5H6uJk",
        "q8fj2kz0x7vb3nw9ty5h",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    ),
    Refusal.AUDIO: (base64.b64encode(random.Random(7).randbytes(300)).decode(), "UklGRiQAAABXQVZFZm10IBAAAAA"),
    Refusal.EMBEDDING: (", ".join(f"{value / 97:.4f}" for value in range(-9, 9)),),
    Refusal.FREE_TEXT: ("please call me back tomorrow", "ä" * 64),
}

LONG: dict[Refusal, tuple[str, ...]] = {
    Refusal.AUDIO: (
        random.Random(7).randbytes(300).hex(),
        base64.b64encode(
            bytes(random.Random(7).choices([*range(8), *range(248, 256)], k=300))
        ).decode(),  # Soft speech.
    ),
    Refusal.FREE_TEXT: ("x" * 300, "A1b" * 100, "support-billing-" * 20, "api/v1/turns/" * 24, "RouteNumber1" * 25),
}
"""Longer than any name: what looks like encoded bytes, and what is only long."""

LEGAL = [
    "v1",
    "v2.3.1",
    "2026-11-21",
    "20261121",
    "20261121153000",
    "build-20261121-153000",
    "2026.11.21.3",
    "1.15.0.20261121",
    "canary-2026w47",
    "v2.3.1-4f2a91c",
    "v2.3.1-14-g4f2a91c0d",
    "release-9f8e7d6",
    "sha-4f2a91c0d3ab",
    "b-4f2a91c",
    "eu-west-1",
    "ap-southeast-2",
    "llama-3.1-70b-instruct-fp8",
    "whisper-large-v3-turbo-ct2-int8",
    "mixtral-8x7b-instruct-v0.1-awq",
    "gemma-2-27b-it-q4_k_m",
    "qwen2.5-vl-72b-instruct-gptq-int4",
    "nvidia-parakeet-tdt-0.6b-v2",
    "deepseek-r1-distill-qwen-32b-w4a16",
    "h100-sxm5-80gb-fp8-tp8pp2",
    "gpt-4o-mini-realtime-preview-2024-12-17",
    "support",
    "billing",
    "card-payment-at-pos",
    "far-field",
    "en-gb-rp",
    "scots-gaelic",
    "xhosa-click",
    "kyrgyz",
    "szczecin",
    "wroclaw-krakow",
    "zurich-schwyzerduetsch",
    "sk-bratislava",
    "tts-1-hd",
    "support-billing",
    "cuda-12.4.131-550.54.15",
    "560.35.03",
]
"""Names as fleets give them to routes, bundles, artifacts, models, accents and voices."""

_LETTERS_AND_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"


def keys(seed: int, count: int, length: int, alphabet: str = _LETTERS_AND_DIGITS) -> list[str]:
    """Random values, as keys and tokens are."""
    chance = random.Random(seed)
    return ["".join(chance.choices(alphabet, k=length)) for _ in range(count)]


def uuids(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]
