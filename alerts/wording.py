"""How spans and shares are written in what an alert says."""

from __future__ import annotations

from alerts.policies import duration_text


def percent(share: float) -> str:
    """A share of turns or of a budget, with three significant places.

    >>> percent(0.2413), percent(0.00072), percent(-0.5), percent(1.0)
    ('24.1 %', '0.072 %', '-50 %', '100 %')
    """
    return f"{share * 100:.3g} %" if abs(share) < 9.995 else f"{share * 100:.0f} %"


def latency(milliseconds: float) -> str:
    """A latency of a stage as one says it, with two significant places or more.

    >>> latency(9.6), latency(340.4), latency(2_134.0), latency(65_000.0)
    ('9.6 ms', '340 ms', '2.1 s', '65 s')
    """
    if milliseconds >= 999.5:
        seconds = milliseconds / 1_000
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"


def lasting(seconds: float) -> str:
    """A span as one says it, to the two largest units.

    >>> lasting(108_000), lasting(5_430), lasting(42)
    ('1d6h', '1h30m', '42s')
    """
    unit_s = next(unit for above, unit in ((86_400, 3_600), (3_600, 60), (60, 1), (0, 1)) if seconds >= above)
    return duration_text(int(seconds) // unit_s * unit_s) or "moments"
