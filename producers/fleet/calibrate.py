"""Derives the fleet's figures from recordings and writes `calibration.json` again.

`python -m producers.fleet.calibrate DIRECTORY`, where the directory holds `azure_llm_2023`, `mooncake`,
`vllm_load_test`, `cloud_monitoring` and `artie_bias`. Text of the recordings is compared in memory and leaves it only as
counts of words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from producers.fleet.calibration import (
    CALIBRATED,
    Bursts,
    Calibration,
    DayCurve,
    KvCache,
    PrefixCache,
    PromptTokens,
    WordErrors,
)
from producers.traces import MalformedTrace, read_trace
from schemas.arrays import Floats

Parted = Callable[[str], list[str]]

WINDOW_MS = 10_000
RECOGNISER = "amazon/en-US/dec-9-2019"
RELEASES = ("deepspeech/v0-6-0", "deepspeech/v0-7-3")
"""The same recogniser before and after."""
NOT_SAID = "NA"
WORDS_MIN = 140
"""Accents with fewer reference words are counted together as `other`."""


def calibrate(directory: Path) -> Calibration:
    """Every figure, from the recordings in the directory."""
    azure = directory / "azure_llm_2023" / "AzureLLMInferenceTrace_conv.csv"
    mooncake = directory / "mooncake" / "conversation_trace.jsonl"
    series = directory / "cloud_monitoring" / "ecommerce-api-incoming-rps" / "api-01.csv"
    return Calibration(
        day_curve=day_curve(pl.read_csv(series, try_parse_dates=True)),
        bursts=bursts(read_trace(azure).requests["arrived_ms"].to_numpy()),
        prompt_tokens=prompt_tokens(read_trace(azure).requests["tokens_in"]),
        prefix_cache=prefix_cache(read_trace(mooncake).requests),
        kv_cache=kv_cache(sorted((directory / "vllm_load_test" / "vllm_log").glob("*.csv"))),
        word_errors=word_errors(directory / "artie_bias"),
    )


def day_curve(series: pl.DataFrame) -> DayCurve:
    """Hour by hour, what is not labelled an anomaly, relative to the mean of such days."""
    is_weekend = pl.col("TimeStamp").dt.weekday() > 5
    hourly = (
        series.filter(Label=0)
        .group_by(is_weekend.alias("is_weekend"), hour=pl.col("TimeStamp").dt.hour())
        .agg(pl.col("Value").median())
    )

    def relative(rows: pl.DataFrame) -> tuple[float, ...]:
        values = rows.sort("hour")["Value"].to_numpy()
        return tuple(round(float(value), 4) for value in values / values.mean())

    return DayCurve(
        meaning="requests of an hour relative to the day's mean, by UTC hour",
        source="cloud_monitoring, ecommerce-api-incoming-rps/api-01 (hours labelled as anomalies left out)",
        licence="MIT",
        working_day=relative(hourly.filter(~pl.col("is_weekend"))),
        weekend=relative(hourly.filter("is_weekend")),
    )


def bursts(arrived_ms: Floats) -> Bursts:
    """Moments of a Cox process: counts have variance mean + mean² cv², and covariance mean² cv² × correlation."""
    counts = np.bincount((arrived_ms // WINDOW_MS).astype(int))[1:-1]
    beyond = counts.var() - counts.mean()
    covariance = float(np.cov(counts[1:], counts[:-1], bias=True)[0, 1])
    return Bursts(
        meaning="variation of the arrival rate in windows of 10 s beyond Poisson arrivals, and its lag-1 correlation",
        source="azure_llm_2023, AzureLLMInferenceTrace_conv",
        licence="CC-BY-4.0",
        rate_cv2=round(float(beyond / counts.mean() ** 2), 5),
        correlation_10s=round(min(0.999, covariance / float(beyond)), 4),
    )


def prompt_tokens(tokens: pl.Series) -> PromptTokens:
    return PromptTokens(
        meaning="prompt tokens of a conversation's request at quantiles 0, 0.01, … 1",
        source="azure_llm_2023, AzureLLMInferenceTrace_conv",
        licence="CC-BY-4.0",
        quantiles=tuple(float(value) for value in np.quantile(tokens.to_numpy(), np.linspace(0, 1, 101))),
    )


def prefix_cache(requests: pl.DataFrame) -> PrefixCache:
    cached, asked = (int(requests[name].sum()) for name in ("tokens_cached", "tokens_in"))
    return PrefixCache(
        meaning="share of prompt tokens in blocks that an earlier request had as its prefix",
        source="mooncake, conversation_trace",
        licence="Apache-2.0",
        hit_share=round(cached / asked, 4),
    )


def kv_cache(logs: Sequence[Path]) -> KvCache:
    rows = pl.concat([pl.read_csv(log).select("num_running", "gpu_kvcache_usage") for log in logs])
    percent, running = (float(rows[name].sum()) for name in ("gpu_kvcache_usage", "num_running"))
    return KvCache(
        meaning="mean share of one 24 GB GPU's KV cache that a running request holds",
        source="vllm_load_test of BurstGPT, engine logs of all load scales",
        licence="MIT-style, Copyright (c) 2023, 2024 BurstGPT Code",
        share_per_running=round(percent / running / 100, 6),
    )


def word_errors(directory: Path) -> WordErrors:
    counts = _counted(directory, RECOGNISER)
    before, after = (_rates(_counted(directory, release)) for release in RELEASES)
    rates = _rates(counts)
    speakers = counts.group_by("accent").agg(pl.col("speaker").n_unique()).sort("accent")
    shares = dict(zip(speakers["accent"], speakers["speaker"] / speakers["speaker"].sum(), strict=True))
    return WordErrors(
        meaning="word errors per reference word by the speaker's accent; `unsaid` gave none",
        source=f"artie_bias, recounted from {RECOGNISER}; release_ratio from {RELEASES[0]} to {RELEASES[1]}",
        licence="CC0",
        rate={accent: round(rate, 4) for accent, rate in rates.items()},
        speaker_share={accent: round(share, 4) for accent, share in shares.items()},
        dispersion=round(_dispersion(counts), 4),
        words_mean=round(float(counts["words"].to_numpy().mean()), 3),
        release_ratio={accent: round(after[accent] / before[accent], 4) for accent in rates},
    )


def _counted(directory: Path, predictions: str) -> pl.DataFrame:
    """Errors and reference words of each utterance, by speaker and accent; seldom accents are `other`."""
    counted = word_counts(directory, predictions).select("speaker", "accent", "errors", "words")
    known = counted.group_by("accent").agg(pl.col("words").sum()).filter(pl.col("words") >= WORDS_MIN)["accent"]
    is_known = pl.col("accent").is_in(known.to_list())
    return counted.with_columns(accent=pl.when(is_known).then("accent").otherwise(pl.lit("other")))


def word_counts(directory: Path, predictions: str, parted: Parted | None = None) -> pl.DataFrame:
    """Of each utterance of `artie_bias`: speaker, accent, gender and age as said or `unsaid`, word errors, reference words.

    `parted` makes words of text; as the fleet is calibrated, with what is no letter left out, unless given.
    """
    parted = parted or _words
    spoken = pl.read_csv(directory / "artie-bias-corpus.tsv", separator="\t", quote_char=None)
    said = pl.read_csv(directory / "predictions" / f"{predictions}.tsv", separator="\t", quote_char=None)
    stem = pl.col("path").str.extract(r"([^/]+)\.\w+$").alias("stem")
    joined = spoken.with_columns(stem).join(said.select(stem, "prediction"), on="stem")
    pairs = list(zip(joined["sentence"], joined["prediction"].fill_null(""), strict=True))
    return joined.select(
        pl.col("client_id").alias("speaker"),
        pl.col("accent", "gender", "age").replace(NOT_SAID, "unsaid").str.to_lowercase(),
        pl.Series("errors", [word_distance(parted(sentence), parted(heard)) for sentence, heard in pairs]),
        pl.Series("words", [len(parted(sentence)) for sentence, _ in pairs]),
    )


def _rates(counts: pl.DataFrame) -> dict[str, float]:
    sums = counts.group_by("accent").agg(pl.col("errors", "words").sum()).sort("accent")
    return dict(zip(sums["accent"], sums["errors"] / sums["words"], strict=True))


def _dispersion(counts: pl.DataFrame) -> float:
    """Intra-speaker correlation by moments: Σ (x − np)² = Σ n p (1 − p) (1 + (n − 1) ρ) over speakers, p by accent."""
    by_speaker = counts.group_by("speaker", "accent").agg(pl.col("errors", "words").sum())
    rate = by_speaker["accent"].replace_strict(_rates(counts)).to_numpy()
    words, errors = by_speaker["words"].to_numpy(), by_speaker["errors"].to_numpy()
    binomial = words * rate * (1 - rate)
    return float((((errors - words * rate) ** 2).sum() - binomial.sum()) / (binomial * (words - 1)).sum())


def _words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", "", text.lower().replace("-", " ")).split()


def word_distance(spoken: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest substitutions, insertions and deletions between the two.

    >>> word_distance("two wave sources".split(), "to wave horses here".split())
    3
    """
    row = list(range(len(heard) + 1))
    for place, word in enumerate(spoken, 1):
        before, row = row, [place]
        for other, candidate in enumerate(heard, 1):
            row.append(min(before[other] + 1, row[-1] + 1, before[other - 1] + (word != candidate)))
    return row[-1]


def main(arguments: Sequence[str], say: Callable[[str], None] = print) -> int:
    """Derives and writes; 2 where the recordings cannot be read."""
    if len(arguments) != 1:
        say("Give one directory, that of the recorded data: python -m producers.fleet.calibrate DIRECTORY")
        return 2
    try:
        figures = calibrate(Path(arguments[0]))
    except (MalformedTrace, OSError, pl.exceptions.PolarsError) as error:
        say(f"The recordings in {arguments[0]} could not be read: {error}")
        return 2
    CALIBRATED.write_text(figures.model_dump_json(indent=2) + "\n")
    say(f"Wrote {CALIBRATED.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
