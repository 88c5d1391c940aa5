"""The shipped Alertmanager configuration is sound, and each alert goes where it should."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from alerts.explanations import Paging, labels_of
from schemas.burns import Burn
from tests.rules.burning import TURN_SLO, burning
from tests.rules.conftest import SHIPPED_CONFIG, SHIPPED_WEBHOOK

PAGING = Paging(slos={TURN_SLO.name: TURN_SLO})
AMTOOL_NEEDED = pytest.mark.needs("prometheus-alertmanager")


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=30, check=False)


@AMTOOL_NEEDED
def test_amtool_accepts_the_configuration() -> None:
    checked = amtool("check-config", str(SHIPPED_CONFIG))
    assert checked.returncode == 0, checked.stderr
    assert "SUCCESS" in checked.stdout


@AMTOOL_NEEDED
@pytest.mark.parametrize(
    ("burn", "receiver"),
    [(burning(), "on-call"), (burning("outage_10m_1m", 0.9), "on-call"), (burning("ticket_3d_6h", 0.02), "tickets")],
)
def test_pages_wake_somebody_and_tickets_wait(burn: Burn, receiver: str) -> None:
    labels = [f"{name}={value}" for name, value in labels_of(burn, PAGING).items() if "," not in value]
    routed = amtool(
        "config", "routes", "test", f"--config.file={SHIPPED_CONFIG}", f"--verify.receivers={receiver}", *labels
    )
    assert routed.returncode == 0, routed.stdout + routed.stderr


@AMTOOL_NEEDED
def test_an_alert_of_unknown_severity_still_reaches_the_on_call() -> None:
    routed = amtool("config", "routes", "test", f"--config.file={SHIPPED_CONFIG}", "--verify.receivers=on-call", "x=y")
    assert routed.returncode == 0, routed.stdout + routed.stderr


def test_every_receiver_hears_of_the_end_at_the_address_the_local_stack_replaces() -> None:
    webhooks = [
        hook for each in yaml.safe_load(SHIPPED_CONFIG.read_text())["receivers"] for hook in each["webhook_configs"]
    ]
    assert {hook["url"] for hook in webhooks} == {SHIPPED_WEBHOOK}
    assert all(hook["send_resolved"] for hook in webhooks)
