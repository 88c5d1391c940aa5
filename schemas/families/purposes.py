"""Who answers for what is collected, why, and until when; `turnwatch check` fails once that day has passed."""

from __future__ import annotations

from datetime import date

from schemas.declarations import Purpose

SERVICE_LEVELS = Purpose(
    "realtime-sre", "to see within a minute which objective is missed, where and since when", date(2028, 6, 30)
)
ANATOMY = Purpose("realtime-sre", "to see where the time of a turn goes, and which part of it grew", date(2028, 6, 30))
CAPACITY = Purpose(
    "capacity-planning", "to know how many calls are served and how many more would fit", date(2028, 6, 30)
)
CONVERSATION = Purpose(
    "conversation-quality", "to see whether turns serve their users, and whose do not", date(2027, 12, 31)
)
SPEECH_QUALITY = Purpose(
    "ml-quality", "to see which speakers a release understands worse, on labelled calls only", date(2027, 12, 31)
)
MONEY = Purpose("platform-finance", "to know what a successful turn costs, and what moved that", date(2028, 6, 30))
ABUSE = Purpose(
    "trust-and-safety", "to see a burst of synthetic voices or unsafe tool calls of one tenant", date(2027, 12, 31)
)
LINEAGE = Purpose("release-engineering", "to join what changed with what got worse", date(2028, 6, 30))
ASSURANCE = Purpose("privacy-engineering", "to show what was withheld, and that nothing is missing", date(2028, 6, 30))
