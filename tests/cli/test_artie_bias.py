"""Recorded speech, as counts of word errors alone, through the gate and the split: releases of one recogniser, and locales.

The same 1,712 utterances were heard by each. What leaves the counting is one row of sums for each accent, gender and age.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from producers.fleet.calibrate import word_counts
from turnwatch.cli import app
from turnwatch.drift.sides import Asked
from turnwatch.drift.why import explain, told

pytestmark = pytest.mark.recorded

RELEASES = ("deepspeech/v0-5-1", "deepspeech/v0-6-0", "deepspeech/v0-7-3")
POLICY = """apiVersion: turnwatch/v1
kind: GatePolicy
metadata:
  name: words
spec:
  protected: [accent=us, accent=indian, gender=female, gender=male]
  metrics:
    - { name: wer, reason: quality, direction: lower_is_better, allowedDelta: 0.015 }
"""


def parted(text: str) -> list[str]:
    """Words as those figures count them that the recordings came with: parted by whatever is no letter and no apostrophe."""
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


class Recognisers:
    """Files of sums, made once for each of them."""

    def __init__(self, recorded: Path, folder: Path) -> None:
        self._recorded, self._folder = recorded / "artie_bias", folder
        self.policy = folder / "words.yaml"
        self.policy.write_text(POLICY)

    def file(self, name: str) -> Path:
        path = self._folder / f"{name.replace('/', '-')}.json"
        if not path.exists():
            path.write_text(json.dumps(sums_of(word_counts(self._recorded, name, parted))))
        return path

    def split(self, old: str, new: str, samples: int = 200) -> dict[str, Any]:
        asked = Asked(str(self.file(old)), str(self.file(new)), samples_min=samples)
        (rate,) = told(explain(asked, 0))["rates"]
        found: dict[str, Any] = rate
        return found

    def gate(self, baseline: str, candidate: str) -> tuple[int, dict[str, Any]]:
        words = ["--baseline", self.file(baseline), "--candidate", self.file(candidate), "--policy", self.policy]
        ended = CliRunner().invoke(app, ["gate", *map(str, words), "--format", "json"])
        return ended.exit_code, json.loads(ended.stdout)


def sums_of(counts: pl.DataFrame) -> dict[str, dict[str, float]]:
    errors, words = pl.col("errors"), pl.col("words")
    sums = {
        "calls": pl.len(), "words": words.sum(), "word_errors": errors.sum(), "words_sumsq": (words * words).sum(),
        "word_errors_sumsq": (errors * errors).sum(), "word_errors_by_words": (errors * words).sum(),
        "wer": (errors.sum() / words.sum()).round(6),
    }  # fmt: skip
    by = [
        counts.group_by(pl.format(f"{name}={{}}", name).alias("slice")).agg(**sums)
        for name in ("accent", "gender", "age")
    ]
    return {row.pop("slice"): row for row in pl.concat(by).sort("slice").to_dicts()}


@pytest.fixture(scope="module")
def recognisers(recorded_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Recognisers:
    return Recognisers(recorded_data, tmp_path_factory.mktemp("artie"))


def states(rate: dict[str, Any], cut: str) -> dict[str, str]:
    (found,) = [each for each in rate["cuts"] if each["cut"] == cut]
    return {each["slice"].partition("=")[2]: each["state"] for each in found["slices"]}


def test_the_recount_is_what_the_readme_says(recorded_data: Path) -> None:
    found = [word_counts(recorded_data / "artie_bias", name, parted) for name in RELEASES]
    assert [round(float(each["errors"].sum()) / float(each["words"].sum()), 3) for each in found] == [
        0.493,
        0.426,
        0.412,
    ]
    assert [(len(each), each["speaker"].n_unique()) for each in found] == [(1_712, 969)] * 3


def test_two_releases_that_hear_better_go_on_and_name_no_slice(recognisers: Recognisers) -> None:
    for old, new, overall in ((RELEASES[0], RELEASES[1], "better"), (RELEASES[1], RELEASES[2], "flat")):
        code, verdict = recognisers.gate(old, new)
        assert (code, verdict["decision"], verdict["blockers"]) == (0, "continue", [])
        assert "accent=england" in verdict["insufficient"], "131 utterances are too few to be judged alone"
        rate = recognisers.split(old, new)
        assert (rate["overall"]["state"], [cut["worse"] for cut in rate["cuts"]]) == (overall, [0, 0, 0])


def test_small_accents_are_not_enough_and_england_is_level_at_the_last_step(recognisers: Recognisers) -> None:
    found = states(recognisers.split(*RELEASES[1:]), "accent")
    assert {accent for accent, state in found.items() if state != "not_enough"} == {"us", "indian", "unsaid"}
    rate = recognisers.split(*RELEASES[1:], samples=100)
    assert states(rate, "accent")["england"] == "flat"
    (england,) = [each for each in rate["cuts"][0]["slices"] if each["slice"] == "accent=england"]
    assert (round(england["old"], 3), round(england["new"], 3)) == (0.4, 0.406)


def test_a_locale_for_one_accent_is_worse_for_all_others(recognisers: Recognisers) -> None:
    """Amazon's en-IN beside its en-US: about everywhere but for the accent that it is made for."""
    locales = ("amazon/en-US/dec-9-2019", "amazon/en-IN/dec-9-2019")
    rate = recognisers.split(*locales)
    assert rate["verdict"] == "worse overall, 2 slices worse, 2 could not be judged: about everywhere"
    assert states(rate, "accent")["indian"] == "flat"
    assert {accent for accent, state in states(rate, "accent").items() if state == "worse"} == {"us", "unsaid"}
    code, verdict = recognisers.gate(*locales)
    assert (code, verdict["decision"]) == (1, "rollback")
    assert "accent=indian" not in {each["slice"] for each in verdict["blockers"]}
