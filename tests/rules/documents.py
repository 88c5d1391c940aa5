"""Documents of every shape, for the tests of SLO files and policy files."""

from __future__ import annotations

from pathlib import Path

from alerts.document_files import documents_in
from alerts.located_yaml import Mistake
from alerts.openslo import SHIPPED_SLOS, read_slos
from alerts.policy_document import SHIPPED_POLICIES, read_policy
from alerts.policy_rows import Policy

TURN_ALONE = (SHIPPED_SLOS / "turn_4000ms.yaml").read_text(encoding="utf-8").partition("---")[0]

OF_GOOD_TURNS = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: turn-good
  displayName: Good turns
  labels:
    pool: realtime
  annotations:
    turnwatch/cuts: pool pool,bundle
    turnwatch/owner: voice-serving
    turnwatch/runbook: docs/runbooks/slo-burn-rate.md
    turnwatch/policy: standard
spec:
  description: A turn ends without an error of ours.
  service: voice-turns
  indicator:
    metadata:
      name: turn-good
      displayName: Good turns
    spec:
      description: Turns without an error.
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: turnwatch
            spec:
              measure: turn_error_good
        total:
          metricSource:
            type: turnwatch
            spec:
              measure: turn_error_total
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: nearly all
      target: 0.999
"""

OF_A_THRESHOLD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: turn-threshold
  labels:
    pool: realtime
  annotations:
    turnwatch/cuts: pool
    turnwatch/owner: voice-serving
    turnwatch/runbook: docs/runbooks/slo-burn-rate.md
spec:
  description: A whole turn takes less than 4 s.
  service: voice-turns
  indicator:
    metadata:
      name: turn-threshold
    spec:
      thresholdMetric:
        metricSource:
          type: turnwatch
          spec:
            latency: turn
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - op: lt
      value: 4000
      target: 0.99
"""

OF_MINUTES = OF_GOOD_TURNS.replace("name: turn-good", "name: turn-minutes").replace(
    """  budgetingMethod: Occurrences
  objectives:
    - displayName: nearly all
      target: 0.999
""",
    """  budgetingMethod: Timeslices
  objectives:
    - displayName: nearly all minutes
      target: 0.99
      timeSliceTarget: 0.95
      timeSliceWindow: 1m
""",
)

WRITTEN_POLICY = """\
apiVersion: turnwatch/v1
kind: BurnPolicy
metadata:
  name: by-hand
spec:
  description: One of each.
  rows:
    - long: 1h
      short: 5m
      factor: 14.4
      severity: page
    - budgetShare: 0.1
      long: 3d
      severity: ticket
  outage:
    budgetShare: 0.02
    long: 10m
    short: 1m
    badShareMax: 0.5
    severity: page
  lowTraffic:
    confidence: 0.99
    badEventsMin: 5
    budgetShareMin: 0.02
"""

LIVELY_POLICY = """\
apiVersion: turnwatch/v1
kind: BurnPolicy
metadata:
  name: lively
spec:
  description: What no row of shares can say, and when alerts begin and end.
  exhausts:
    - within: 2h
      window: 1h
      severity: page
  anyEvent:
    window: 10m
    severity: ticket
  resolveBelow: 0.8
  keepFiringFor:
    page: 2m
    ticket: 1h30m
  pendingFor:
    page: 30s
    ticket: 0s
"""


def shipped_documents(directory: Path) -> dict[str, str]:
    """Each document of a folder by itself, by file and place in it."""
    return {
        f"{file.name}[{place}]": text
        for file in sorted(directory.glob("*.yaml"))
        for place, text in enumerate(file.read_text(encoding="utf-8").split("---\n"))
    }


SLO_DOCUMENTS = shipped_documents(SHIPPED_SLOS) | {
    "good": OF_GOOD_TURNS,
    "threshold": OF_A_THRESHOLD,
    "minutes": OF_MINUTES,
}
POLICY_DOCUMENTS = shipped_documents(SHIPPED_POLICIES) | {"written": WRITTEN_POLICY, "lively": LIVELY_POLICY}


def slo_mistakes(text: str) -> list[Mistake]:
    return [mistake for read in read_slos(text) for mistake in read.mistakes]


def policy_mistakes(text: str) -> list[Mistake]:
    found = documents_in(text, "a burn policy")
    read = [read_policy(document, Path("policy.yaml")) for document in found.documents]
    return [*found.mistakes, *(mistake for each in read if not isinstance(each, Policy) for mistake in each)]
