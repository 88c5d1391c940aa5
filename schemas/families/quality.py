"""Quality: how well labelled calls were understood and answered. Counts of errors, never words; labels come days late."""

from __future__ import annotations

from schemas.declarations import Cut, Family, Measure, PrivacyPartition
from schemas.families.purposes import SPEECH_QUALITY

HOUR_S = 3_600

QUALITY = Family(
    name="quality",
    meaning="errors of labelled calls: words, characters, entities, endpoints, partials, corrections, grounding, citations",
    kind="quality",
    purpose=SPEECH_QUALITY,
    since_minor=2,
    lateness_s=3 * 86_400,
    owned_without=("bundle",),
    retention_d=400,
    retention_fine_d=400,
    partitions=(
        PrivacyPartition("operational", ("region", "pool", "route", "bundle", "consent"), HOUR_S),
        PrivacyPartition("language", ("pool", "bundle", "language"), HOUR_S),
        PrivacyPartition("speech", ("pool", "bundle", "accent", "noise_class"), HOUR_S),
        PrivacyPartition("tenancy", ("pool", "bundle", "consent", "tenant"), HOUR_S),
        PrivacyPartition("client", ("pool", "bundle", "consent", "device_class", "client_version"), HOUR_S),
    ),
    measures=(
        Measure("calls", "calls", "calls that were labelled"),
        Measure("words", "words", "words of the reference"),
        Measure("word_errors", "words", "words substituted, deleted or inserted"),
        Measure("words_sumsq", "words^2", "sum over calls of squared words of the reference"),
        Measure("word_errors_sumsq", "words^2", "sum over calls of squared word errors, so that variances add"),
        Measure("word_errors_by_words", "words^2", "sum over calls of word errors x words of the reference"),
        Measure("characters", "characters", "characters of the reference"),
        Measure("character_errors", "characters", "characters substituted, deleted or inserted"),
        Measure("entities", "entities", "names, numbers and other entities of the reference"),
        Measure("entity_errors", "entities", "entities that were missed or wrong", part_of="entities"),
        Measure("endpoints", "endpoints", "ends of speech"),
        Measure(
            "endpoint_errors",
            "endpoints",
            "ends of speech that were detected too early or too late",
            part_of="endpoints",
        ),
        Measure("partials", "partials", "partial transcripts that were shown"),
        Measure("partials_rewritten", "partials", "partial transcripts that were rewritten", part_of="partials"),
        Measure("answers", "answers", "answers that were judged"),
        Measure("answers_corrected", "answers", "answers that their user corrected", part_of="answers"),
        Measure("answers_ungrounded", "answers", "answers that no source supports", part_of="answers"),
        Measure("citations", "citations", "sources that were cited"),
        Measure("citations_stale", "citations", "cited sources that were out of date", part_of="citations"),
        Measure("lookups_aged", "lookups", "lookups whose index's age was known"),
        Measure("index_age_s_sum", "s", "sum of the ages of their indexes"),
    ),
    cuts=(
        Cut("operational", ("pool",)),
        Cut("operational", ("pool", "region")),
        Cut("operational", ("pool", "route")),
        Cut("operational", ("pool", "bundle")),
        Cut("language", ("pool", "bundle", "language")),
        Cut("speech", ("pool", "bundle", "accent")),
        Cut("speech", ("pool", "bundle", "noise_class")),
        Cut("speech", ("pool", "bundle", "accent", "noise_class")),
        Cut("tenancy", ("pool", "bundle", "tenant")),
        Cut("client", ("pool", "bundle", "device_class")),
        Cut("client", ("pool", "bundle", "client_version")),
    ),
)
