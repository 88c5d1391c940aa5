"""Fits the service model on recorded load scales, and says how far off it is on scales it has not seen.

`python -m producers.service_fit DIRECTORY` (a `vllm_load_test`) writes `service_model.json` again.

The recording does not say how many tokens an answer had (`out_len` reaches 9,830 where the engine's limit was 1,024),
so answers are measured in decode steps: how many the engine made between a request's first chunk and its last, at the
pace that its own log shows for the number of requests running. The prompts are the same at every scale, and an answer's
length is the median over the fitted scales only: scales that are held out lend nothing but arrivals and prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from scipy.optimize import least_squares, minimize

from producers.service_model import FITTED, ServiceModel, as_document
from producers.traces import MalformedTrace, detail_logs, read_detail_log, scale_of
from schemas.arrays import Floats

TOKENS_OUT_MAX = 1_024
"""The limit that every request of the recording was sent with."""
RESTARTS = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One load scale: its requests by arrival, and the engine's log beside them."""

    scale: int
    requests: pl.DataFrame
    engine: pl.DataFrame


@dataclass(frozen=True, slots=True)
class HeldOutError:
    """Predicted and recorded quantiles of one scale, ms."""

    scale: int
    first_token_ms_p50: tuple[float, float]
    first_token_ms_p95: tuple[float, float]
    total_ms_p50: tuple[float, float]


def read_runs(directory: Path) -> list[Run]:
    """The runs of a load test, by scale."""
    runs = [_read_run(directory, log) for log in detail_logs(directory)]
    if len(runs) < 2:
        raise MalformedTrace(f"{directory}: a fit needs the detail logs of several load scales; {len(runs)} found.")
    return runs


def split(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Every second scale to fit on, the others to check with."""
    return list(runs[1::2]), list(runs[0::2])


def fit(runs: Sequence[Run]) -> ServiceModel:
    """The coefficients whose simulated latencies come closest to the recorded ones, in ratio, request by request."""
    slots = max(int(run.engine["num_running"].max()) for run in runs)  # type: ignore[arg-type]  # polars types max() for every dtype
    base, per_running = _decode_pace(runs)
    tokens = answer_tokens(runs, base, per_running)
    start = np.log([20.0, 0.02, 0.1, 0.5, base, per_running])

    def loss(logs: Floats) -> float:
        model = _model(slots, np.exp(logs))
        return float(np.mean([_misfit(model, run, tokens) for run in runs]))

    logs = start
    for _ in range(RESTARTS):  # A simplex that has shrunk too early is given a new one.
        logs = minimize(loss, logs, method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-5, "maxiter": 400}).x
    model = _model(slots, np.exp(logs))
    first, decode = (
        np.concatenate(parts) for parts in zip(*(_log_ratios(model, run, tokens) for run in runs), strict=True)
    )
    return replace(model, first_token_spread=_spread(first), decode_spread=_spread(decode))


def held_out_errors(model: ServiceModel, fitted: Sequence[Run], held_out: Sequence[Run]) -> list[HeldOutError]:
    """Quantiles that the model predicts for scales it was not fitted on, beside the recorded ones."""
    tokens = answer_tokens(fitted, model.decode_ms_base, model.decode_ms_per_running)
    return [_compared(model, run, tokens) for run in held_out]


def answer_tokens(runs: Sequence[Run], base_ms: float, per_running_ms: float) -> Floats:
    """The length of each event's answer, in decode steps: the median over these runs."""
    counted = [
        run.requests.select("event", tokens=pl.Series(_steps_between(run, base_ms, per_running_ms))) for run in runs
    ]
    by_event = pl.concat(counted).group_by("event").agg(pl.col("tokens").median()).sort("event")
    tokens: Floats = by_event["tokens"].clip(1, TOKENS_OUT_MAX).to_numpy()
    return tokens


def _read_run(directory: Path, log: Path) -> Run:
    scale = scale_of(log)
    engine = directory / "vllm_log" / log.name.replace("detail_log", "vllm_log").replace(".json", ".csv")
    try:
        rows = pl.read_csv(engine).select("timestamp", "num_running", "generation_throughput")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise MalformedTrace(
            f"{engine}: the engine's log of scale {scale} could not be read ({type(error).__name__})."
        ) from error
    return Run(scale, read_detail_log(log), rows)


def _decode_pace(runs: Sequence[Run]) -> tuple[float, float]:
    """Milliseconds of a decode step: with nothing else running, and for each request that is."""
    rows = pl.concat([run.engine for run in runs]).filter(
        (pl.col("num_running") > 0) & (pl.col("generation_throughput") > 50)
    )
    running = rows["num_running"].to_numpy().astype(float)
    step_ms = 1_000 * running / rows["generation_throughput"].to_numpy()
    found = least_squares(lambda x: (x[0] + x[1] * running) / step_ms - 1, [10.0, 0.2], loss="soft_l1", f_scale=0.1)
    return float(max(found.x[0], 0.1)), float(max(found.x[1], 0.001))


def _steps_between(run: Run, base_ms: float, per_running_ms: float) -> Floats:
    """Decode steps between first and last chunk, from the number of requests that were decoding at each instant."""
    first_ms = (run.requests["arrived_ms"] + run.requests["first_token_ms"]).to_numpy()
    end_ms = (run.requests["arrived_ms"] + run.requests["total_ms"]).to_numpy()
    at_ms = np.concatenate([first_ms, end_ms])
    order = np.argsort(at_ms, kind="stable")
    running = np.cumsum(np.concatenate([np.ones(len(first_ms)), -np.ones(len(end_ms))])[order])
    pace_ms = base_ms + per_running_ms * running[:-1]
    steps = np.concatenate([[0.0], np.cumsum(np.diff(at_ms[order]) / pace_ms)])
    made: Floats = 1 + np.interp(end_ms, at_ms[order], steps) - np.interp(first_ms, at_ms[order], steps)
    return made


def _model(slots: int, coefficients: Floats) -> ServiceModel:
    base, per_token, per_running, delivery, decode, decode_per_running = (float(value) for value in coefficients)
    return ServiceModel(slots, base, per_token, per_running, delivery, decode, decode_per_running, 0.0, 0.0)


def _served(model: ServiceModel, run: Run, tokens: Floats) -> tuple[Floats, Floats]:
    requests = run.requests
    served = model.serve(
        requests["arrived_ms"].to_numpy(),
        requests["tokens_in"].to_numpy().astype(float),
        tokens[requests["event"].to_numpy()],
    )
    return served.first_token_ms, served.total_ms


def _misfit(model: ServiceModel, run: Run, tokens: Floats) -> float:
    """Mean absolute logarithm of predicted over recorded: of first tokens, and of whole times with half the weight."""
    first, total = _served(model, run, tokens)
    recorded_first, recorded_total = run.requests["first_token_ms"].to_numpy(), run.requests["total_ms"].to_numpy()
    return float(
        np.mean(np.abs(np.log(first / recorded_first))) + 0.5 * np.mean(np.abs(np.log(total / recorded_total)))
    )


def _log_ratios(model: ServiceModel, run: Run, tokens: Floats) -> tuple[Floats, Floats]:
    first, total = _served(model, run, tokens)
    decode = np.maximum(total - first, 1.0)
    recorded = np.maximum((run.requests["total_ms"] - run.requests["first_token_ms"]).to_numpy(), 1.0)
    return np.log(first / run.requests["first_token_ms"].to_numpy()), np.log(decode / recorded)


def _spread(logs: Floats) -> float:
    """A standard deviation that outliers do not move: 1.4826 x median absolute deviation."""
    return float(1.4826 * np.median(np.abs(logs - np.median(logs))))


def _compared(model: ServiceModel, run: Run, tokens: Floats) -> HeldOutError:
    first, total = _served(model, run, tokens)
    recorded_first, recorded_total = run.requests["first_token_ms"].to_numpy(), run.requests["total_ms"].to_numpy()

    def both(predicted: Floats, recorded: Floats, percent: float) -> tuple[float, float]:
        return float(np.percentile(predicted, percent)), float(np.percentile(recorded, percent))

    return HeldOutError(
        run.scale, both(first, recorded_first, 50), both(first, recorded_first, 95), both(total, recorded_total, 50)
    )


def main(arguments: Sequence[str]) -> str:
    """Fits, writes the committed file, and says how far off it is."""
    if len(arguments) != 1:
        return "Give one directory, that of vllm_load_test: python -m producers.service_fit DIRECTORY"
    try:
        fitted, held_out = split(read_runs(Path(arguments[0])))
    except MalformedTrace as error:
        return str(error)
    model = fit(fitted)
    FITTED.write_text(as_document(model, tuple(run.scale for run in fitted)))
    return report(held_out_errors(model, fitted, held_out))


def report(errors: Sequence[HeldOutError]) -> str:
    """A table for people: predicted / recorded, and the median over scales of how far off they are."""
    names = ("first_token_ms_p50", "first_token_ms_p95", "total_ms_p50")
    lines = ["scale  " + "  ".join(f"{name:>20}" for name in names)]
    for error in errors:
        pairs = (getattr(error, name) for name in names)
        lines.append(f"{error.scale:>5}  " + "  ".join(f"{f'{said:,.0f} / {was:,.0f}':>20}" for said, was in pairs))
    off = (f"{median_error(errors, name):>20.1%}" for name in names)
    return "\n".join([*lines, "  off  " + "  ".join(off)])


def median_error(errors: Sequence[HeldOutError], name: str) -> float:
    """The median over scales of |predicted / recorded - 1| of one quantile."""
    pairs = [getattr(error, name) for error in errors]
    return float(np.median([abs(said / was - 1) for said, was in pairs]))


if __name__ == "__main__":
    print(main(sys.argv[1:]))
