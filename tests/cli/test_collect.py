"""What `turnwatch collector` says of its settings before it opens anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from producers.collecting.beginning import SetBy
from turnwatch.collect import collector_settings
from turnwatch.settings import CollectorSettings as CollectorSection
from turnwatch.settings import Settings, SettingsError


def test_a_name_and_a_region_of_the_contract_are_enough() -> None:
    known = collector_settings(Settings(), "eu-west-1-collector-0", "eu-west-1", 0)
    assert (known.producer, known.region, known.port) == ("eu-west-1-collector-0", "eu-west-1", 0)


@pytest.mark.parametrize(
    ("name", "region", "told"),
    [
        (None, "eu-west-1", "name is not known: give --name, or set TURNWATCH_COLLECTOR__NAME"),
        ("c0", None, "region is not known: give --region, or set TURNWATCH_COLLECTOR__REGION"),
        ("C 0", "eu-west-1", "^--name: the collector's name has to match"),
        ("", "eu-west-1", "^--name: the collector's name has to match"),
        ("c0", "eu-nowhere", "^--region: the collector's region has to match"),
    ],
)
def test_what_intake_would_refuse_is_told_at_the_start(name: str | None, region: str | None, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        collector_settings(Settings(), name, region, None)


def test_sentences_name_what_the_user_wrote(tmp_path: Path) -> None:
    written = CollectorSection(name="c 0", region="eu-west-1", folder=tmp_path)
    with pytest.raises(SettingsError, match=r"^TURNWATCH_COLLECTOR__NAME: the collector's name has to match"):
        collector_settings(Settings(collector=written), None, None, None)
    known = collector_settings(Settings(collector=written), "c0", None, 9_000).set_by
    assert known == SetBy("--name", "TURNWATCH_COLLECTOR__REGION", "--port", "TURNWATCH_COLLECTOR__FOLDER")
    unnamed = collector_settings(Settings(), "c0", "eu-west-1", None).set_by
    assert unnamed == SetBy("--name", "--region", "TURNWATCH_COLLECTOR__PORT", "--name, or TURNWATCH_COLLECTOR__FOLDER")
