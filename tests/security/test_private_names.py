"""Names whose form a convention describes: what it asks for passes, and what is private is found all the same."""

from __future__ import annotations

import random
import uuid

import pytest

from producers.refusing import HOST, reasons_in
from schemas.private_names import IDENTIFIER, NAME, PHRASE, Naming, private_names
from schemas.private_values import is_host_name
from schemas.refusals import Refusal

MACHINES = (
    "00000000-0000-4000-8000-000000000000",
    "urn:uuid:8c7b4b6e-2d2f-4f4e-9d5a-1f3a0b9c7d11",
    "8c7b4b6e2d2f4f4e9d5a1f3a0b9c7d11",
    "f3" * 32,
    "cd189a933e5849daa93386466019ab50-2495160603",
    "i-0abc1234def567890",
    "4567890123456789012",
    "172.31.123.234",
    "172.31.123.234:9400",
    "::ffff:172.31.123.234",
    "ip-172-31-123-234",
    "ip-10-0-3-27.ec2.internal",
    "172-31-123-234.default.pod.cluster.local",
    "vm-172-31-123-234-5d78c9bcf7-x2k4z",
    "gateway-5d78c9bcf7-47892",
    "3141592653589793238",
    "ip-172-31-123-234.eu-west-1.compute.internal",
    "gateway-5d78c9bcf7-x2k4z",
    "aks-nodepool1-12345678-vmss000001",
    "GPU-5d3f6a2b-1111-2222-3333-444455556666",
    "01J9ZQ3V8K5T6YB2N4M7R0C1DE",
)
"""Of OpenTelemetry's `service.instance.id`, `host.id`, `host.name`, `container.id`, `k8s.pod.name`, and of GPUs."""

MODELS_AND_CLASSES = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "/models/.cache/hub/models--meta-llama--Llama-3.1-8B-Instruct/snapshots/0e9e39f249a16976918f6564b8830bc894c89659",
    "software.amazon.awssdk.services.bedrockruntime.model.ModelTimeoutException",
    "500",
    "_OTHER",
)

PRIVATE = {
    "ann@example.org": Refusal.EMAIL,
    "no such user: ann@example.org": Refusal.EMAIL,
    "+49 151 1234 5678": Refusal.PHONE,
    "1-202-555-0123": Refusal.PHONE,
    "4915112345678": Refusal.PHONE,
    "Please call my doctor tomorrow": Refusal.FREE_TEXT,
    "ghp_abcdefghijklmnopqrst12345": Refusal.HIGH_ENTROPY,
    "sk-proj-9aX2kLmQ8vT3bN7cR5wE1yU6": Refusal.HIGH_ENTROPY,
    "UklGRiQAAABXQVZFZm10IBAAAAA": Refusal.AUDIO,
    ", ".join(f"0.{n}" for n in range(100, 110)): Refusal.EMBEDDING,
}

NUMBERS = (
    "06.12.34.56.78",
    "06-12-34-56-78",
    "ana-mueller-06-12-34-56-78",
    "+33.6.12.34.56.78",
    "+41.44.12.34.56",
    "+45-12-34-56-78",
    "(49)-151-23-45-67",
    "tel:+31-20-12-34-56-7",
    "+4917612345678901",
    "0049151123456789",
    "gw-0049151123456789",
    "4111111111111111",
    "6214830100000000013",
    "49562-47892",
    "ana-49562-47892",
)
"""Of telephones and cards, that have in them what looks like an address, a machine or a pod."""


def test_numbers_of_people_name_no_machine() -> None:
    assert private_names(NUMBERS, IDENTIFIER) == dict.fromkeys(NUMBERS, Refusal.PHONE)
    assert reasons_in(HOST, NUMBERS) == dict.fromkeys(NUMBERS, Refusal.PHONE)
    assert not any(map(is_host_name, NUMBERS))


def test_machines_may_be_called_as_they_are() -> None:
    seeded = random.Random(7)
    generated = [str(uuid.UUID(int=seeded.getrandbits(128), version=4)) for _ in range(2_000)]
    assert private_names([*MACHINES, *generated], IDENTIFIER) == {}


def test_models_and_classes_of_errors_may_be_long() -> None:
    assert private_names(MODELS_AND_CLASSES, NAME) == {}
    assert private_names(["NVIDIA H100 80GB HBM3"], PHRASE) == {}


@pytest.mark.parametrize("naming", [NAME, IDENTIFIER], ids=["name", "identifier"])
def test_what_is_private_is_found_in_any_of_them(naming: Naming) -> None:
    assert private_names(PRIVATE, naming) == PRIVATE


def test_only_an_identifier_may_be_random() -> None:
    secret = "q8fj2kz0x7vb3nw9ty5h"
    assert private_names([secret], NAME) == {secret: Refusal.HIGH_ENTROPY}
    assert private_names([secret], IDENTIFIER) == {}
    assert private_names([f"my key is {secret}"], IDENTIFIER) == {f"my key is {secret}": Refusal.FREE_TEXT}
