"""`turnwatch render`: writes the files that are derived from code, or shows where they are stale."""

from __future__ import annotations

import difflib
from pathlib import Path

from alerts.check import REPOSITORY
from alerts.definitions import watched_slos
from alerts.explanations import Links
from alerts.prometheus_rules import FILE as RULES
from alerts.prometheus_rules import render_rules
from dashboards.render import render_all
from schemas import ddl, roles
from schemas.addresses import RUNBOOKS_URL
from turnwatch.bill_of_materials import BILL, LOCK, bill_of_materials
from turnwatch.dictionary import data_dictionary
from turnwatch.scraped_metrics import scraped_metrics

_DIFFERENCE_LINES_MAX = 40


def rendered() -> dict[str, str]:
    """Path in the repository and text of every derived file."""
    watched = watched_slos()
    statements = {f"schemas/clickhouse/{path}": text for path, text in (ddl.render() | roles.render()).items()}
    documents = {RULES: rules(), "docs/data-dictionary.md": data_dictionary()}
    documents["docs/scraped-metrics.md"] = scraped_metrics()
    return {**render_all(watched), **statements, **documents, **_bill()}


def rules() -> str:
    """Rules for Prometheus. Runbooks are where a worker without settings says that they are."""
    return render_rules(watched_slos(), Links(runbooks=RUNBOOKS_URL))


def _bill() -> dict[str, str]:
    """The bill of materials; none where the code stands without the lock of what it was built with."""
    return {BILL: bill_of_materials(REPOSITORY)} if (REPOSITORY / LOCK).is_file() else {}


def stale_files(repository: Path = REPOSITORY) -> list[str]:
    """A sentence for each derived file that is not what the code says."""
    return [
        f"{path} is stale; run `turnwatch render`."
        for path, text in rendered().items()
        if _current(repository, path) != text
    ]


def run_rules() -> int:
    """Prints the rules for Prometheus, for a file of one's own."""
    print(rules(), end="")
    return 0


def run_render(is_check: bool, repository: Path = REPOSITORY) -> int:
    stale = {path: text for path, text in rendered().items() if _current(repository, path) != text}
    for path, text in stale.items():
        if is_check:
            print("\n".join(_difference(_current(repository, path), text, path)))
        else:
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            (repository / path).write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    if not stale:
        print("Every derived file is up to date.")
    return 1 if is_check and stale else 0


def _current(repository: Path, path: str) -> str:
    try:
        return (repository / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _difference(before: str, after: str, path: str) -> list[str]:
    lines = list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"{path} (committed)", f"{path} (rendered)", lineterm=""
        )
    )
    more = [f"… and {len(lines) - _DIFFERENCE_LINES_MAX} more lines"] if len(lines) > _DIFFERENCE_LINES_MAX else []
    return lines[:_DIFFERENCE_LINES_MAX] + more
