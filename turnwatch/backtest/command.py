"""`turnwatch backtest`: one objective against the past."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from alerts.document_files import problem
from alerts.openslo import SHIPPED_SLOS, SloFileError, load_slos, read_slos
from alerts.policies import policy_for
from alerts.policy_document import load_policy
from schemas.failures import BadInput
from schemas.slos import Slo, WatchedSlo
from schemas.warehouse import ClickHouseAddress
from turnwatch.backtest.bounds import Threshold, uncounted
from turnwatch.backtest.engine import Alerted, alerts
from turnwatch.backtest.exclusions import IN_CLICKHOUSE, Excluded, read_excluded, read_excluded_file
from turnwatch.backtest.judgement import Incident, budget_curve, detections, false_pages, read_incidents
from turnwatch.backtest.picture import draw
from turnwatch.backtest.report import Report, Verdict, print_report, width_note
from turnwatch.backtest.series import Series, fleet_of
from turnwatch.backtest.sources import Told, read
from turnwatch.pictures import write_picture
from turnwatch.places import clickhouse
from turnwatch.settings import load


def run_backtest(
    slo: str,
    policy: Path | None,
    data: Sequence[str],
    threshold_ms: int | None,
    incidents: Path | None,
    output: str,
    out: Path | None,
    exclusions: str | None = None,
    slice_text: str | None = None,
) -> int:
    """Prints what would have been paged, and returns the exit code."""
    watched = policy_for(chosen_slo(slo), None if policy is None else load_policy(policy))
    threshold = None if threshold_ms is None else uncounted(watched.slo, threshold_ms)
    known = None if incidents is None else read_incidents(incidents)
    excluded = None if exclusions is None else _excluded(exclusions)
    told = read(data, watched.slo, threshold, _address)
    report = judged(watched, ", ".join(data), told, threshold, known, excluded, slice_text)
    if out is not None:
        write_picture(out, draw(report))
    print_report(report, output)
    return 0


def chosen_slo(written: str) -> Slo:
    """`FILE`, `FILE#NAME` where a file holds several, or the name of a shipped objective."""
    path, _, name = written.partition("#")
    if not Path(path).exists() and "/" not in path and not path.endswith((".yaml", ".yml")):
        return _named(load_slos(), written, str(SHIPPED_SLOS.name))
    slos = _of_file(Path(path))
    if len(slos) > 1 and not name:
        names = ", ".join(slo.name for slo in slos)
        raise BadInput(f"{path} holds {len(slos)} SLOs ({names}): name one, as {path}#{slos[0].name}.")
    return _named(slos, name, path) if name else slos[0]


def _of_file(path: Path) -> list[Slo]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInput(f"{path}: the SLO file cannot be read: {why}.") from None
    reads = read_slos(text)
    wrong = [problem(path, mistake) for each in reads for mistake in each.mistakes]
    if wrong:
        raise SloFileError(wrong)
    return [each.slo for each in reads if each.slo]


def _named(slos: Sequence[Slo], name: str, where: str) -> Slo:
    found = next((slo for slo in slos if slo.name == name), None)
    if found is None:
        raise BadInput(f"There is no SLO {name!r} in {where}: known are {', '.join(slo.name for slo in slos)}.")
    return found


def judged(
    watched: WatchedSlo,
    source: str,
    told: Told,
    threshold: Threshold | None,
    incidents: Sequence[Incident] | None,
    exclusions: Sequence[Excluded] | None = None,
    slice_text: str | None = None,
) -> Report:
    """Judges every series that was read, and keeps of the alerts those of the stretch that was asked about."""
    names = ("",) if threshold is None else ("the fewest bad turns", "the most bad turns")
    verdicts = [
        _verdict(name, series, watched, told, incidents, exclusions, slice_text)
        for name, series in zip(names, told.series, strict=True)
    ]
    first = told.series[0]
    notes = [threshold.sentence] if threshold else []
    notes += [*first.notes, *width_note(first, watched)]
    return Report(watched, source, told.from_ms, told.to_ms, tuple(notes), tuple(verdicts))


def _verdict(
    name: str,
    series: Series,
    watched: WatchedSlo,
    told: Told,
    incidents: Sequence[Incident] | None,
    exclusions: Sequence[Excluded] | None,
    slice_text: str | None,
) -> Verdict:
    found = tuple(alert for alert in alerts(series, watched) if _is_within(alert, told))
    drawn = _drawn(series, watched.slo, found) if slice_text is None else _asked(series, slice_text)
    return Verdict(
        name,
        series,
        found,
        None if incidents is None else tuple(detections(found, incidents)),
        None if incidents is None else tuple(false_pages(found, incidents)),
        budget_curve(series, watched, drawn, exclusions).filter(pl.col("instant_ms") >= told.from_ms),
        drawn,
    )


def _is_within(alert: Alerted, told: Told) -> bool:
    return alert.from_ms <= told.to_ms and (alert.to_ms is None or alert.to_ms > told.from_ms)


def _drawn(series: Series, slo: Slo, found: Sequence[Alerted]) -> int:
    """The fleet where it is among the slices, otherwise the first that was alerted on."""
    if fleet_of(slo) in series.slices:
        return series.slices.index(fleet_of(slo))
    return series.slices.index(found[0].slice) if found else 0


def _asked(series: Series, slice_text: str) -> int:
    """The slice that was asked for; raises `BadInput` where the data has none of that name."""
    if slice_text not in series.slices:
        close = get_close_matches(slice_text, series.slices, n=1)
        meant = f"did you mean {close[0]}?" if close else f"there are {len(series.slices)}, such as {series.slices[0]}."
        raise BadInput(f"There is no slice {slice_text[:200]!r} in the data: {meant}")
    return series.slices.index(slice_text)


def _excluded(written: str) -> tuple[Excluded, ...]:
    """Of a file, or those in force in ClickHouse."""
    return read_excluded(_address()) if written == IN_CLICKHOUSE else read_excluded_file(Path(written))


def _address() -> ClickHouseAddress:
    return clickhouse(load())
