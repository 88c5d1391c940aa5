"""The shipped Alertmanager configuration is sound, and each alert goes where it should."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from alerts.explanations import Links, Paging, labels_of
from alerts.watchdog import watchdog
from schemas.burns import Burn
from stack.alertmanager import PAGER_URL, WATCHDOG_URL, paging_to
from tests.rules.burning import TURN_SLO, burning
from tests.rules.conftest import SHIPPED_CONFIG

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
def test_the_watchdog_goes_to_the_dead_mans_switch_alone() -> None:
    labels = [f"{name}={value}" for name, value in watchdog(0, 0, Links()).labels.items()]
    arguments = (f"--config.file={SHIPPED_CONFIG}", "--verify.receivers=dead-mans-switch", *labels)
    routed = amtool("config", "routes", "test", *arguments)
    assert routed.returncode == 0, routed.stdout + routed.stderr


@AMTOOL_NEEDED
def test_an_alert_of_unknown_severity_still_reaches_the_on_call() -> None:
    routed = amtool("config", "routes", "test", f"--config.file={SHIPPED_CONFIG}", "--verify.receivers=on-call", "x=y")
    assert routed.returncode == 0, routed.stdout + routed.stderr


def webhooks() -> dict[str, dict[str, Any]]:
    """The one webhook of each receiver."""
    receivers = yaml.safe_load(SHIPPED_CONFIG.read_text())["receivers"]
    assert [len(each["webhook_configs"]) for each in receivers] == [1] * len(receivers)
    return {each["name"]: each["webhook_configs"][0] for each in receivers}


def test_everybody_hears_of_the_end_but_the_dead_mans_switch_which_would_take_it_for_a_sign_of_life() -> None:
    assert {name: hook["send_resolved"] for name, hook in webhooks().items()} == {
        "on-call": True,
        "tickets": True,
        "dead-mans-switch": False,
    }


def test_the_local_stack_replaces_every_address_by_its_pagers() -> None:
    assert {hook["url"] for hook in webhooks().values()} == {PAGER_URL, WATCHDOG_URL}
    told = yaml.safe_load(paging_to("http://127.0.0.1:7/page", SHIPPED_CONFIG))["receivers"]
    urls = {each["name"]: each["webhook_configs"][0]["url"] for each in told}
    assert urls["dead-mans-switch"] == "http://127.0.0.1:7/watchdog"
    assert urls["on-call"] == urls["tickets"] == "http://127.0.0.1:7/page"
