"""Price lists: what they may say, and every field wrong in turn with its line and a sentence."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from alerts.document_files import WrongFiles
from alerts.price_document import load_prices
from schemas.prices import RESOURCES

OF_TWO = """\
apiVersion: turnwatch/v1
kind: PriceList
metadata:
  name: ours
spec:
  currency: USD
  prices:
    - resource: gpu_hour
      gpuType: h100
      purchase: reserved
      region: eu-west-1
      usd: 2.5
      from: "2026-01-01"
      until: "2027-01-01"
    - resource: tokens_out
      modelVersion: m-1
      usd: 10
      from: "2026-01-01"
"""
DAY_MS = 86_400_000


def written(folder: Path, text: str) -> Path:
    file = folder / "prices.yaml"
    file.write_text(text)
    return file


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(WrongFiles) as raised:
        load_prices(written(folder, text))
    return raised.value.problems


def test_the_shipped_example_has_a_price_of_everything_that_can_have_one() -> None:
    assert {price.resource for price in load_prices().prices} == set(RESOURCES)


def test_prices_are_what_is_written_from_midnight_to_midnight(tmp_path: Path) -> None:
    hour, tokens = load_prices(written(tmp_path, OF_TWO)).prices
    assert (hour.usd, hour.region, hour.gpu_type, hour.purchase) == (Decimal("2.5"), "eu-west-1", "h100", "reserved")
    assert (hour.from_ms % DAY_MS, (hour.until_ms or 0) - hour.from_ms) == (0, 365 * DAY_MS)
    assert (tokens.usd, tokens.model_version, tokens.until_ms) == (Decimal(10), "m-1", None)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ("currency: USD", "currency: EUR", 6, "This has to be USD"),
        ("usd: 2.5", "usd: -1", 12, "is no price in US dollars"),
        ("usd: 2.5", "usd: free", 12, "spec.prices[0].usd"),
        ("      usd: 2.5\n", "", 8, "add `usd`"),
        ("gpuType: h100", "gpu: h100", 9, "did you mean `gpuType`?"),
        ("      gpuType: h100\n", "", 8, "priced by `gpuType` and `purchase`"),
        ("      modelVersion: m-1\n", "", 15, "priced by `modelVersion`"),
        ("resource: gpu_hour", "resource: gpu_day", 8, "gpu_hour"),
        ("purchase: reserved", "purchase: stolen", 10, "reserved"),
        ("region: eu-west-1", "region: Europe", 11, "spec.prices[0].region"),
        ('from: "2026-01-01"\n      until', 'from: "soon"\n      until', 13, "is no day"),
        ('from: "2026-01-01"\n      until', 'from: "20280101"\n      until', 13, '"20280101" is no day'),
        ('until: "2027-01-01"', 'until: "2027-W01-5"', 14, '"2027-W01-5" is no day'),
        ('until: "2027-01-01"', 'until: "2025-01-01"', 8, "ends before it begins"),
        ("name: ours", "name: Ours!", 4, "metadata.name"),
    ],
)
def test_every_mistake_has_its_line_and_a_sentence(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    assert OF_TWO.count(right) == 1
    (problem,) = problems(tmp_path, OF_TWO.replace(right, wrong))
    assert f"prices.yaml:{line}:" in problem
    assert said in problem


def test_two_prices_for_one_moment_are_refused(tmp_path: Path) -> None:
    again = OF_TWO + OF_TWO.partition("prices:\n")[2].replace('"2026-01-01"\n      until', '"2026-06-01"\n      until')
    (problem,) = problems(
        tmp_path, again.replace('usd: 10\n      from: "2026-01-01"', 'usd: 10\n      from: "2026-01-01"', 1)
    )
    assert problem.endswith(
        "prices.yaml:19: spec.prices[2]: There are two prices of gpu_hour eu-west-1 h100 reserved on 2026-06-01, "
        "here and on line 8: end the one that begins first, or remove one."
    )


def test_two_lists_in_one_file_are_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, f"{OF_TWO}---\n{OF_TWO}")
    assert "There are 2 lists" in problem
