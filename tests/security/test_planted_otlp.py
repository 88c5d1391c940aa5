"""Secrets are planted in OTLP exports; neither what a collector is handed, nor an answer, a log or a metric repeats them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from google.protobuf import json_format
from prometheus_client import generate_latest

from producers.otlp.requests import JSON
from tests.otlp.collecting import Remembering, gateway_to
from tests.otlp.exports import NOW_MS, counter, request
from tests.otlp.test_server import posted, served
from tests.security.planted import PRIVATE
from tests.security.test_planted import unsaid


@pytest.mark.parametrize("secret", [values[0] for values in PRIVATE.values()], ids=list(PRIVATE))
async def test_nothing_planted_in_an_export_is_repeated(secret: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    content: dict[str, Any] = {"gen_ai__input__messages": secret, "note": secret, secret: secret}
    places: list[dict[str, Any]] = [{name: secret} for name in ("region", "route", "bundle")]
    metrics = [
        counter("turnwatch.turns.turns", 5, NOW_MS, **content),
        *(counter("turnwatch.turns.turns", 5, NOW_MS, **named) for named in places),
        counter(secret, 5, NOW_MS),
        counter("gen_ai.client.token.usage", 5, NOW_MS, gen_ai__request__model=secret),
    ]
    collecting = Remembering()
    gateway = gateway_to(collecting)
    said = []
    async with served(gateway) as url:
        sent = request(metrics, {"service.instance.id": secret, "gen_ai.prompt": secret})
        said.append(await posted(url, sent.SerializeToString()))
        said.append(await posted(url, json_format.MessageToJson(sent).encode(), JSON))
        said.append(await posted(url, secret.encode()))
        said.append(await posted(url, secret.encode(), JSON))
        said.append(await posted(url, sent.SerializeToString(), secret.encode().hex()))
    shown = generate_latest(gateway.metrics.registry).decode()
    handed = repr([each.header for each in collecting.batches]) + repr(
        [each.rows.rows() for each in collecting.batches]
    )
    assert unsaid(secret, repr(said) + shown + handed + caplog.text)
    assert 'reason="content_field"' in shown
