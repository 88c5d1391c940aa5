"""Which declared way back of a release is the smallest step that restores what got worse?

From the smallest: pinning the one artifact that changed against the baseline to the version that the baseline has; disabling
a feature; routing to a fallback; restoring the bundle. A pin counts only where a single artifact changed, since of several
nobody knows which it was; a bundle only where it is the baseline, which is what the release was compared with.
"""

from __future__ import annotations

from schemas.releases import Release, WayBack, WayBackKind
from schemas.verdicts import SmallestStep

SMALLEST_FIRST: tuple[WayBackKind, ...] = ("pin_artifact", "disable_feature", "route_to_fallback", "restore_bundle")


def smallest_step(release: Release, baseline: str, before: Release | None) -> SmallestStep | None:
    """The step, with the sentence that says why this one; `None` where nothing that was declared is known to restore.

    `before` is what is declared of the baseline, if anything is.
    """
    changed = _changed(release, before)
    fitting = [way for way in release.ways_back if _fits(way, baseline, changed, before)]
    if not fitting:
        return None
    way = min(fitting, key=lambda each: SMALLEST_FIRST.index(each.kind))
    return SmallestStep(way=way, because=f"{_why(way, baseline)} {_other_changes(changed, before, baseline)}".strip())


def _changed(release: Release, before: Release | None) -> frozenset[str]:
    """Names of artifacts that the baseline has in another version, or not at all, or that only it has."""
    if before is None:
        return frozenset()
    now, then = ({each.name: each.version for each in bundle.artifacts} for bundle in (release, before))
    return frozenset(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))


def _fits(way: WayBack, baseline: str, changed: frozenset[str], before: Release | None) -> bool:
    if way.kind == "restore_bundle":
        return way.target == baseline
    if way.kind != "pin_artifact":
        return True
    then = {each.name: each.version for each in before.artifacts} if before else {}
    return changed == {way.artifact} and then.get(way.artifact or "") == way.target


def _why(way: WayBack, baseline: str) -> str:
    match way.kind:
        case "pin_artifact":
            return f"Artifact {way.artifact} is all that changed against {baseline}: pin it to {way.target}, which {baseline} has."
        case "disable_feature":
            return f"Disable feature {way.target}: the smallest step that was declared; whether it restores shows at the next look."
        case "route_to_fallback":
            return f"Route the slices that got worse to {way.target}: they leave the release."
        case _:
            return f"Restore bundle {way.target}, which it was compared with."


def _other_changes(changed: frozenset[str], before: Release | None, baseline: str) -> str:
    if before is None:
        return f"Nothing is declared of {baseline}, so nobody knows which artifact changed."
    if len(changed) > 1:
        return f"{len(changed)} artifacts changed, so no single pin is known to restore it."
    return ""
