"""The dimensions a row may be cut by, each declared once.

A dimension has a closed vocabulary or a pattern; a value outside of it is refused at the edge and again at intake. An
*identifying* dimension may only appear in a privacy partition whose k-window protects it (`families.py`), where a value
that too few sessions share is generalised to `*`.
"""

from __future__ import annotations

from dataclasses import dataclass

GENERALISED = "*"
"""The value of an identifying dimension that was generalised because fewer than k sessions shared the cell."""

OTHER = "__other__"
"""The value that stands for every slice above a cut's cap; no producer can send it, whatever its pattern."""

SLUG = r"[a-z0-9][a-z0-9._-]{0,62}"


@dataclass(frozen=True, slots=True)
class Dimension:
    """One way to slice traffic.

    `generalise_order` is the place in which an identifying dimension gives way to `*` (1 first); `None` for dimensions
    that identify nobody.
    """

    name: str
    meaning: str
    vocabulary: tuple[str, ...] = ()
    pattern: str = ""
    generalise_order: int | None = None

    @property
    def is_identifying(self) -> bool:
        return self.generalise_order is not None

    @property
    def full_pattern(self) -> str:
        """The anchored regular expression that every value matches, vocabulary or pattern alike."""
        values = "|".join(value.replace(".", r"\.") for value in self.vocabulary) or self.pattern
        generalised = r"|\*" if self.is_identifying else ""
        return rf"^(?:{values}{generalised})$"


_DECLARED = (
    Dimension("region", "where the serving hosts stand", pattern=r"[a-z]{2,8}-[a-z]{2,12}-[0-9]{1,2}"),
    Dimension("pool", "serving pool: realtime turns or batch work", vocabulary=("realtime", "batch")),
    Dimension("route", "what the turn was for, as the gateway routes it", pattern=SLUG),
    Dimension("bundle", "the release bundle (models, prompts, policies) that served the turn", pattern=SLUG),
    Dimension("artifact", "one versioned part of a bundle", pattern=SLUG),
    Dimension("model_version", "the version of the model that answered", pattern=SLUG),
    Dimension(
        "duplex_event",
        "kind of full-duplex event",
        vocabulary=(
            "interruption",
            "backchannel",
            "barge_in",
            "overlap",
            "micro_turn",
            "assistant_turn",
            "action",
            "playback",
        ),
    ),
    Dimension("gpu_type", "kind of GPU, whole or a share of one", pattern=SLUG),
    Dimension("purchase", "how capacity is paid for", vocabulary=("reserved", "on_demand", "spot", "hosted", "owned")),
    Dimension(
        "consent",
        "on what ground a call was labelled",
        vocabulary=("granted", "contract", "synthetic", "unknown"),
    ),
    Dimension("request_length", "length class of the request", vocabulary=("short", "medium", "long")),
    Dimension("language", "spoken language, BCP 47", pattern=r"[a-z]{2,3}(?:-[A-Z]{2})?", generalise_order=4),
    Dimension("accent", "accent class of the speaker", pattern=SLUG, generalise_order=2),
    Dimension("noise_class", "background noise", vocabulary=("quiet", "moderate", "noisy"), generalise_order=6),
    Dimension(
        "device_class",
        "kind of device",
        vocabulary=("phone", "mobile_app", "browser", "speaker", "car", "headset"),
        generalise_order=5,
    ),
    Dimension(
        "codec",
        "audio codec of the call",
        vocabulary=("opus", "pcmu", "pcma", "g722", "amr_wb", "aac"),
        generalise_order=7,
    ),
    Dimension(
        "connection", "network of the caller", vocabulary=("wifi", "cellular", "wired", "pstn"), generalise_order=8
    ),
    Dimension(
        "client_version",
        "version of the client application",
        pattern=r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}",
        generalise_order=3,
    ),
    Dimension(
        "tenant",
        "customer, as a pseudonym stable for the retention period",
        pattern=r"t-[0-9a-f]{16}",
        generalise_order=1,
    ),
    Dimension("voice", "synthetic voice that answered", pattern=SLUG, generalise_order=9),
    Dimension(
        "vad_state",
        "what voice activity detection saw",
        vocabulary=("speech", "silence", "double_talk"),
        generalise_order=10,
    ),
)

DIMENSIONS: dict[str, Dimension] = {dimension.name: dimension for dimension in _DECLARED}
