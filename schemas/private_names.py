"""Names that conventions let be more than a word: of processes and machines, of models, of classes of errors. What of them is private.

`schemas/private_values.py` judges texts that have no form of their own. A name that a convention describes has one, and what the
convention asks for is no secret: OpenTelemetry recommends a random UUID as `service.instance.id`, machines are called by their
addresses, classes of errors by where they are declared. An e-mail address, a telephone number, a sentence, bytes or a list of numbers is
none of that, and neither is a credential, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.private_values import is_credential, private_reasons, without_pod_suffix
from schemas.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Naming:
    """What a convention lets names be: as random as an identifier, or several words. Either may be longer than a name of ours."""

    is_random: bool = False
    is_worded: bool = False


NAME = Naming()
IDENTIFIER = Naming(is_random=True)
"""Of a process, a container, a machine or a device."""
PHRASE = Naming(is_worded=True)
"""What a product is called."""

_UUID = re.compile(
    r"(?<![0-9a-z])[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:-[0-9]{5,10})?(?![0-9a-z])", re.IGNORECASE
)
"""Also the id of a task in ECS, which has a number behind it."""
_GROUPS = re.compile(r"(?<![0-9a-z])(?<![0-9]:)[+(]*[0-9]+(?:[^0-9a-z:]+[0-9]+)*(?![0-9a-z])", re.IGNORECASE)
"""A number with all groups of digits that no letter parts from it. Behind a colon is a port."""
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}|{_OCTET}(?:-{_OCTET}){{3}}")
"""Also as in ip-10-0-3-27."""
_INSTANCE = re.compile(r"(?!00)[0-9]{16,20}")
"""Of Google's cloud; no telephone number has as many digits."""
_CARD = re.compile(r"[2-6][0-9]{15}|62[0-9]{15,17}")
"""Numbers of cards have 16 digits, those of UnionPay up to 19, and a check digit (ISO/IEC 7812-1)."""
_OF_MODELS = re.compile(r"(?<=snapshots/)[0-9a-f]{40}(?![0-9a-f])|(?<=sha256[:-])[0-9a-f]{64}(?![0-9a-f])")
"""Which version of a model it is: the commit in the folder of a hub's cache, or a digest."""
_WORDS = re.compile(r"\S\s+\S+\s+\S")


def private_names(values: Iterable[str], naming: Naming) -> dict[str, Refusal]:
    """Which of these names may not leave a host, and why.

    >>> private_names(["8c7b4b6e-2d2f-4f4e-9d5a-1f3a0b9c7d11", "ip-172-31-123-234", "4915112345678"], IDENTIFIER)
    {'4915112345678': <Refusal.PHONE: 'phone'>}
    """
    bare = {value: _bare(value, naming) for value in values}
    reasons = private_reasons(dict.fromkeys(bare.values()))
    judged = {value: _judged(value, reasons.get(left), naming) for value, left in bare.items()}
    return {value: reason for value, reason in judged.items() if reason is not None}


def _bare(value: str, naming: Naming) -> str:
    """The name without what tells machines apart, or which version of a model it is."""
    if not naming.is_random:
        return _OF_MODELS.sub("", value)
    if _INSTANCE.fullmatch(value) and not (_CARD.fullmatch(value) and _has_check_digit(value)):
        return ""
    return _GROUPS.sub(_without_address, _UUID.sub("-", without_pod_suffix(value)))


def _without_address(groups: re.Match[str]) -> str:
    """An address is one only where it is all the groups there are: four of more are of a telephone number."""
    return "-" if _ADDRESS.fullmatch(groups[0]) else groups[0]


def _has_check_digit(number: str) -> bool:
    """Whether the last digit is that of Luhn's formula."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _judged(value: str, reason: Refusal | None, naming: Naming) -> Refusal | None:
    if reason is Refusal.HIGH_ENTROPY and naming.is_random and not is_credential(value):
        reason = Refusal.FREE_TEXT
    if reason is not Refusal.FREE_TEXT:
        return reason
    is_text = _WORDS.search(value) is not None and not naming.is_worded  # What is only long is no sentence.
    return Refusal.FREE_TEXT if is_text else None
