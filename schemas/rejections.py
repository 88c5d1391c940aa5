"""Why a message is not taken in. A bad message is data: it is answered with a `Rejected`, never with an exception.

The sentence of a rejection says what was wrong and where, and never repeats a value, so that dead letters and logs
cannot carry what the contract refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    MISSING_HEADER = "missing_header"
    MALFORMED_HEADER = "malformed_header"
    UNKNOWN_FAMILY = "unknown_family"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    FRAME_TOO_LARGE = "frame_too_large"
    EMPTY_FRAME = "empty_frame"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    MALFORMED_PAYLOAD = "malformed_payload"
    UNKNOWN_COLUMN = "unknown_column"
    MISSING_COLUMN = "missing_column"
    WRONG_TYPE = "wrong_type"
    OUTSIDE_VOCABULARY = "outside_vocabulary"
    NEGATIVE_COUNT = "negative_count"
    COUNT_TOO_LARGE = "count_too_large"
    BAD_EXCEEDS_TOTAL = "bad_exceeds_total"
    UNKNOWN_PRIVACY_PARTITION = "unknown_privacy_partition"
    DIMENSION_NOT_IN_PARTITION = "dimension_not_in_partition"
    WINDOW_MISALIGNED = "window_misaligned"
    WINDOW_FROM_FUTURE = "window_from_future"
    WINDOW_TOO_OLD = "window_too_old"
    LATE = "late"
    FENCE_EXPIRED = "fence_expired"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that was refused: the reason that is counted, and a sentence for the reader."""

    reason: Reason
    detail: str
