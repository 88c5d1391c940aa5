-- Tables and views of turnwatch on one machine, rendered by `turnwatch render` from schemas/tables.py and views.py.
-- A row is the total so far of its key, with a version that only grows: writing it again is harmless, the
-- largest version wins, and tables are read with FINAL (views do). A statement ends where a line ends with a
-- semicolon, and can be run twice.

-- How much was served: turns, audio and tokens, slice by slice? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS traffic_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    turns UInt64 COMMENT 'turns that ended in the window (turns)' CODEC(T64, ZSTD(1)),
    audio_in_ms UInt64 COMMENT 'audio received from users (ms)' CODEC(T64, ZSTD(1)),
    audio_out_ms UInt64 COMMENT 'audio synthesised for users (ms)' CODEC(T64, ZSTD(1)),
    tokens_in UInt64 COMMENT 'prompt tokens (tokens)' CODEC(T64, ZSTD(1)),
    tokens_out UInt64 COMMENT 'generated tokens (tokens)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sum UInt64 COMMENT 'sum of whole-turn latencies (ms)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sumsq UInt64 COMMENT 'sum of squared whole-turn latencies, so that variances add (ms^2)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How much was served: turns, audio and tokens, slice by slice? Buckets of 10 s.';

-- Where did a turn's time go: the latency histogram of each stage? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS stage_latency_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    stage LowCardinality(String) COMMENT 'which part of the turn',
    scale Int8 COMMENT 'scale of the base-2 exponential histogram',
    bucket_index Int32 COMMENT 'bucket (base^index, base^(index+1)] ms, base = 2^(2^-scale); -32768 holds zeros' CODEC(ZSTD(1)),
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    observations UInt64 COMMENT 'observations in this bucket (observations)' CODEC(T64, ZSTD(1)),
    latency_ms_sum UInt64 COMMENT 'sum of the latencies in this bucket (ms)' CODEC(T64, ZSTD(1)),
    latency_ms_sumsq UInt64 COMMENT 'sum of the squared latencies in this bucket (ms^2)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, stage, bucket_start, scale, bucket_index)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Where did a turn\'s time go: the latency histogram of each stage? Buckets of 10 s.';

-- How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS concurrency_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    active_at_start UInt64 COMMENT 'streams active at the bucket\'s first instant' CODEC(T64, ZSTD(1)),
    starts UInt64 COMMENT 'streams that started' CODEC(T64, ZSTD(1)),
    ends UInt64 COMMENT 'streams that ended' CODEC(T64, ZSTD(1)),
    peak_lower UInt64 COMMENT 'peak of concurrent streams if, within each second, ends came before starts' CODEC(T64, ZSTD(1)),
    peak_upper UInt64 COMMENT 'peak of concurrent streams if, within each second, starts came before ends' CODEC(T64, ZSTD(1)),
    replicas_needed UInt64 COMMENT 'replicas that peak_upper takes at the deployment\'s capacity figures; 0 where none are configured' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 10 s.';

-- What did producers see, send, drop and hold? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS heartbeats_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    rows_sent UInt64 COMMENT 'rows of the reported family sent for the window (rows)' CODEC(T64, ZSTD(1)),
    observations_seen UInt64 COMMENT 'observations of the reported family taken in (observations)' CODEC(T64, ZSTD(1)),
    observations_dropped UInt64 COMMENT 'observations that a full buffer or a failed check dropped (observations)' CODEC(T64, ZSTD(1)),
    observations_held UInt64 COMMENT 'observations held back below k, which join a later window (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did producers see, send, drop and hold? Buckets of 10 s.';

-- How many full-duplex events of each kind happened, slice by slice? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS duplex_events_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    events UInt64 COMMENT 'events of the kind in the window (events)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many full-duplex events of each kind happened, slice by slice? Buckets of 10 s.';

-- What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS outcomes_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    connection LowCardinality(String) COMMENT 'network of the caller; empty where the cut does not name it',
    codec LowCardinality(String) COMMENT 'audio codec of the call; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    outcomes UInt64 COMMENT 'turns whose outcome was observed (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    errors UInt64 COMMENT 'turns that ended in an error (turns)' CODEC(T64, ZSTD(1)),
    abandonments UInt64 COMMENT 'turns that their user abandoned (turns)' CODEC(T64, ZSTD(1)),
    interruptions UInt64 COMMENT 'turns that their user interrupted (turns)' CODEC(T64, ZSTD(1)),
    handoffs UInt64 COMMENT 'turns that were handed to a human (turns)' CODEC(T64, ZSTD(1)),
    cancellations UInt64 COMMENT 'turns that were cancelled before they were answered (turns)' CODEC(T64, ZSTD(1)),
    refusals UInt64 COMMENT 'turns that the assistant refused to answer (turns)' CODEC(T64, ZSTD(1)),
    lookups UInt64 COMMENT 'turns that retrieved something (turns)' CODEC(T64, ZSTD(1)),
    lookups_stale UInt64 COMMENT 'turns that retrieved from a stale index (turns)' CODEC(T64, ZSTD(1)),
    tool_calls UInt64 COMMENT 'tool calls (calls)' CODEC(T64, ZSTD(1)),
    tool_calls_unsafe UInt64 COMMENT 'tool calls that a safety check found wrong (calls)' CODEC(T64, ZSTD(1)),
    synthetic_voices UInt64 COMMENT 'turns spoken by a synthetic voice (turns)' CODEC(T64, ZSTD(1)),
    retries UInt64 COMMENT 'attempts after the first one (attempts)' CODEC(T64, ZSTD(1)),
    fallbacks UInt64 COMMENT 'attempts on a fallback model or route (attempts)' CODEC(T64, ZSTD(1)),
    shadows UInt64 COMMENT 'attempts on shadow traffic, which nobody heard (attempts)' CODEC(T64, ZSTD(1)),
    tokens_cached UInt64 COMMENT 'prompt tokens that a cache had (tokens)' CODEC(T64, ZSTD(1)),
    tokens_audio UInt64 COMMENT 'audio tokens, in and out (tokens)' CODEC(T64, ZSTD(1)),
    jitter_turns UInt64 COMMENT 'turns whose network jitter was measured (turns)' CODEC(T64, ZSTD(1)),
    jitter_ms_sum UInt64 COMMENT 'sum of their mean jitters (ms)' CODEC(T64, ZSTD(1)),
    jitter_ms_sumsq UInt64 COMMENT 'sum of their squared mean jitters (ms^2)' CODEC(T64, ZSTD(1)),
    chunks UInt64 COMMENT 'chunks of audio that were sent (chunks)' CODEC(T64, ZSTD(1)),
    chunks_late UInt64 COMMENT 'chunks sent later than the one before had been played (chunks)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 10 s.';

-- How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS queues_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    queue LowCardinality(String) COMMENT 'the stage that is waited for',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    depth UInt64 COMMENT 'requests that wait (requests); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    running UInt64 COMMENT 'requests that are served (requests); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    servers UInt64 COMMENT 'replicas that serve (replicas); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    warm_streams UInt64 COMMENT 'streams that warm replicas could serve at once (streams); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    depth_from UInt64 COMMENT 'requests that waited at the window\'s start, of engines there at its end too (requests)' CODEC(T64, ZSTD(1)),
    depth_to UInt64 COMMENT 'requests that waited at the window\'s end, of engines there at its start too (requests)' CODEC(T64, ZSTD(1)),
    arrivals UInt64 COMMENT 'requests that came (requests)' CODEC(T64, ZSTD(1)),
    served UInt64 COMMENT 'requests that were served to their end (requests)' CODEC(T64, ZSTD(1)),
    batch_arrivals UInt64 COMMENT 'requests of batch work among those that came (requests)' CODEC(T64, ZSTD(1)),
    waited_ms_sum UInt64 COMMENT 'sum of the waits of those that began to be served (ms)' CODEC(T64, ZSTD(1)),
    busy_ms UInt64 COMMENT 'time that replicas were serving, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    available_ms UInt64 COMMENT 'time that replicas were there, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    batch_slots UInt64 COMMENT 'places in batches, step by step (slots)' CODEC(T64, ZSTD(1)),
    batch_slots_filled UInt64 COMMENT 'places in batches that a request filled (slots)' CODEC(T64, ZSTD(1)),
    kv_blocks UInt64 COMMENT 'blocks of KV cache (blocks); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    kv_blocks_used UInt64 COMMENT 'blocks of KV cache in use (blocks); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    preemptions UInt64 COMMENT 'requests that were put back for want of cache (requests)' CODEC(T64, ZSTD(1)),
    drafts_proposed UInt64 COMMENT 'tokens that speculative decoding proposed (tokens)' CODEC(T64, ZSTD(1)),
    drafts_accepted UInt64 COMMENT 'proposed tokens that were accepted (tokens)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, queue, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 10 s.';

-- How many hosts serve which artifact of which bundle, and since when? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS deployments_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    artifact LowCardinality(String) COMMENT 'one versioned part of a bundle; empty where the cut does not name it',
    artifact_kind LowCardinality(String) COMMENT 'what the artifact is',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    hosts UInt64 COMMENT 'hosts that serve it (hosts); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    deployments UInt64 COMMENT 'hosts that began to serve it (deployments)' CODEC(T64, ZSTD(1)),
    retirements UInt64 COMMENT 'hosts that ended to serve it (deployments)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, artifact_kind, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many hosts serve which artifact of which bundle, and since when? Buckets of 10 s.';

-- What did the edge withhold, and for which reason? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS privacy_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on: what was refused is told in the one of its kind alone, a turn in `turns`; `unknown` of what did not say what it is, such as half a line',
    fate LowCardinality(String) COMMENT 'what was done',
    because LowCardinality(String) COMMENT 'the dimension that gave way, or the reason of a refusal',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    observations UInt64 COMMENT 'observations that this was done to; one that was refused is told once, and so is each private field that was dropped from one; one that gave up two dimensions of both, and in each family that counts it (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, fate, because, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did the edge withhold, and for which reason? Buckets of 10 s.';

-- How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 10 s.
CREATE TABLE IF NOT EXISTS burn_rate_10s (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    indicator LowCardinality(String) COMMENT 'the service level indicator',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    bad UInt64 COMMENT 'turns (or events, actions, audio frames) outside of the objective' CODEC(T64, ZSTD(1)),
    total UInt64 COMMENT 'those in which it could be judged' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(bucket_start, 'UTC')
ORDER BY (indicator, cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 8 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 10 s.';

-- How much was served: turns, audio and tokens, slice by slice? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS traffic_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    turns UInt64 COMMENT 'turns that ended in the window (turns)' CODEC(T64, ZSTD(1)),
    audio_in_ms UInt64 COMMENT 'audio received from users (ms)' CODEC(T64, ZSTD(1)),
    audio_out_ms UInt64 COMMENT 'audio synthesised for users (ms)' CODEC(T64, ZSTD(1)),
    tokens_in UInt64 COMMENT 'prompt tokens (tokens)' CODEC(T64, ZSTD(1)),
    tokens_out UInt64 COMMENT 'generated tokens (tokens)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sum UInt64 COMMENT 'sum of whole-turn latencies (ms)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sumsq UInt64 COMMENT 'sum of squared whole-turn latencies, so that variances add (ms^2)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How much was served: turns, audio and tokens, slice by slice? Buckets of 1 min.';

-- Where did a turn's time go: the latency histogram of each stage? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS stage_latency_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    stage LowCardinality(String) COMMENT 'which part of the turn',
    scale Int8 COMMENT 'scale of the base-2 exponential histogram',
    bucket_index Int32 COMMENT 'bucket (base^index, base^(index+1)] ms, base = 2^(2^-scale); -32768 holds zeros' CODEC(ZSTD(1)),
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    observations UInt64 COMMENT 'observations in this bucket (observations)' CODEC(T64, ZSTD(1)),
    latency_ms_sum UInt64 COMMENT 'sum of the latencies in this bucket (ms)' CODEC(T64, ZSTD(1)),
    latency_ms_sumsq UInt64 COMMENT 'sum of the squared latencies in this bucket (ms^2)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, stage, bucket_start, scale, bucket_index)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'Where did a turn\'s time go: the latency histogram of each stage? Buckets of 1 min.';

-- How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS concurrency_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    active_at_start UInt64 COMMENT 'streams active at the bucket\'s first instant' CODEC(T64, ZSTD(1)),
    starts UInt64 COMMENT 'streams that started' CODEC(T64, ZSTD(1)),
    ends UInt64 COMMENT 'streams that ended' CODEC(T64, ZSTD(1)),
    peak_lower UInt64 COMMENT 'peak of concurrent streams if, within each second, ends came before starts' CODEC(T64, ZSTD(1)),
    peak_upper UInt64 COMMENT 'peak of concurrent streams if, within each second, starts came before ends' CODEC(T64, ZSTD(1)),
    replicas_needed UInt64 COMMENT 'replicas that peak_upper takes at the deployment\'s capacity figures; 0 where none are configured' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 1 min.';

-- What did producers see, send, drop and hold? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS heartbeats_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    rows_sent UInt64 COMMENT 'rows of the reported family sent for the window (rows)' CODEC(T64, ZSTD(1)),
    observations_seen UInt64 COMMENT 'observations of the reported family taken in (observations)' CODEC(T64, ZSTD(1)),
    observations_dropped UInt64 COMMENT 'observations that a full buffer or a failed check dropped (observations)' CODEC(T64, ZSTD(1)),
    observations_held UInt64 COMMENT 'observations held back below k, which join a later window (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did producers see, send, drop and hold? Buckets of 1 min.';

-- How many full-duplex events of each kind happened, slice by slice? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS duplex_events_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    events UInt64 COMMENT 'events of the kind in the window (events)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many full-duplex events of each kind happened, slice by slice? Buckets of 1 min.';

-- What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS outcomes_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    connection LowCardinality(String) COMMENT 'network of the caller; empty where the cut does not name it',
    codec LowCardinality(String) COMMENT 'audio codec of the call; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    outcomes UInt64 COMMENT 'turns whose outcome was observed (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    errors UInt64 COMMENT 'turns that ended in an error (turns)' CODEC(T64, ZSTD(1)),
    abandonments UInt64 COMMENT 'turns that their user abandoned (turns)' CODEC(T64, ZSTD(1)),
    interruptions UInt64 COMMENT 'turns that their user interrupted (turns)' CODEC(T64, ZSTD(1)),
    handoffs UInt64 COMMENT 'turns that were handed to a human (turns)' CODEC(T64, ZSTD(1)),
    cancellations UInt64 COMMENT 'turns that were cancelled before they were answered (turns)' CODEC(T64, ZSTD(1)),
    refusals UInt64 COMMENT 'turns that the assistant refused to answer (turns)' CODEC(T64, ZSTD(1)),
    lookups UInt64 COMMENT 'turns that retrieved something (turns)' CODEC(T64, ZSTD(1)),
    lookups_stale UInt64 COMMENT 'turns that retrieved from a stale index (turns)' CODEC(T64, ZSTD(1)),
    tool_calls UInt64 COMMENT 'tool calls (calls)' CODEC(T64, ZSTD(1)),
    tool_calls_unsafe UInt64 COMMENT 'tool calls that a safety check found wrong (calls)' CODEC(T64, ZSTD(1)),
    synthetic_voices UInt64 COMMENT 'turns spoken by a synthetic voice (turns)' CODEC(T64, ZSTD(1)),
    retries UInt64 COMMENT 'attempts after the first one (attempts)' CODEC(T64, ZSTD(1)),
    fallbacks UInt64 COMMENT 'attempts on a fallback model or route (attempts)' CODEC(T64, ZSTD(1)),
    shadows UInt64 COMMENT 'attempts on shadow traffic, which nobody heard (attempts)' CODEC(T64, ZSTD(1)),
    tokens_cached UInt64 COMMENT 'prompt tokens that a cache had (tokens)' CODEC(T64, ZSTD(1)),
    tokens_audio UInt64 COMMENT 'audio tokens, in and out (tokens)' CODEC(T64, ZSTD(1)),
    jitter_turns UInt64 COMMENT 'turns whose network jitter was measured (turns)' CODEC(T64, ZSTD(1)),
    jitter_ms_sum UInt64 COMMENT 'sum of their mean jitters (ms)' CODEC(T64, ZSTD(1)),
    jitter_ms_sumsq UInt64 COMMENT 'sum of their squared mean jitters (ms^2)' CODEC(T64, ZSTD(1)),
    chunks UInt64 COMMENT 'chunks of audio that were sent (chunks)' CODEC(T64, ZSTD(1)),
    chunks_late UInt64 COMMENT 'chunks sent later than the one before had been played (chunks)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 1 min.';

-- What did tenants look up and call, and how many spoke with a synthetic voice? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS tenants_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    tenant_lookups UInt64 COMMENT 'turns that retrieved something (turns)' CODEC(T64, ZSTD(1)),
    tenant_lookups_stale UInt64 COMMENT 'turns that retrieved from a stale index (turns)' CODEC(T64, ZSTD(1)),
    tenant_tool_calls UInt64 COMMENT 'tool calls (calls)' CODEC(T64, ZSTD(1)),
    tenant_tool_calls_unsafe UInt64 COMMENT 'tool calls that a safety check found wrong (calls); noised where the collector is told to: epsilon 0.25 a window and 360 a day, at most 2 of a session and window, ± 24 at 95 % in each collector\'s cell and window, 4.0 on average where there was nothing' CODEC(T64, ZSTD(1)),
    tenant_synthetic_voices UInt64 COMMENT 'turns spoken by a synthetic voice (turns)' CODEC(T64, ZSTD(1)),
    tenant_handoffs UInt64 COMMENT 'turns that were handed to a human (turns); noised where the collector is told to: epsilon 0.25 a window and 360 a day, at most 1 of a session and window, ± 12 at 95 % in each collector\'s cell and window, 2.0 on average where there was nothing' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did tenants look up and call, and how many spoke with a synthetic voice? Buckets of 1 min.';

-- How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS queues_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    queue LowCardinality(String) COMMENT 'the stage that is waited for',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    depth UInt64 COMMENT 'requests that wait (requests); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    running UInt64 COMMENT 'requests that are served (requests); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    servers UInt64 COMMENT 'replicas that serve (replicas); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    warm_streams UInt64 COMMENT 'streams that warm replicas could serve at once (streams); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    depth_from UInt64 COMMENT 'requests that waited at the window\'s start, of engines there at its end too (requests)' CODEC(T64, ZSTD(1)),
    depth_to UInt64 COMMENT 'requests that waited at the window\'s end, of engines there at its start too (requests)' CODEC(T64, ZSTD(1)),
    arrivals UInt64 COMMENT 'requests that came (requests)' CODEC(T64, ZSTD(1)),
    served UInt64 COMMENT 'requests that were served to their end (requests)' CODEC(T64, ZSTD(1)),
    batch_arrivals UInt64 COMMENT 'requests of batch work among those that came (requests)' CODEC(T64, ZSTD(1)),
    waited_ms_sum UInt64 COMMENT 'sum of the waits of those that began to be served (ms)' CODEC(T64, ZSTD(1)),
    busy_ms UInt64 COMMENT 'time that replicas were serving, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    available_ms UInt64 COMMENT 'time that replicas were there, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    batch_slots UInt64 COMMENT 'places in batches, step by step (slots)' CODEC(T64, ZSTD(1)),
    batch_slots_filled UInt64 COMMENT 'places in batches that a request filled (slots)' CODEC(T64, ZSTD(1)),
    kv_blocks UInt64 COMMENT 'blocks of KV cache (blocks); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    kv_blocks_used UInt64 COMMENT 'blocks of KV cache in use (blocks); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    preemptions UInt64 COMMENT 'requests that were put back for want of cache (requests)' CODEC(T64, ZSTD(1)),
    drafts_proposed UInt64 COMMENT 'tokens that speculative decoding proposed (tokens)' CODEC(T64, ZSTD(1)),
    drafts_accepted UInt64 COMMENT 'proposed tokens that were accepted (tokens)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, queue, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 1 min.';

-- How many hosts serve which artifact of which bundle, and since when? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS deployments_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    artifact LowCardinality(String) COMMENT 'one versioned part of a bundle; empty where the cut does not name it',
    artifact_kind LowCardinality(String) COMMENT 'what the artifact is',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    hosts UInt64 COMMENT 'hosts that serve it (hosts); of a wider bucket, at its end' CODEC(T64, ZSTD(1)),
    deployments UInt64 COMMENT 'hosts that began to serve it (deployments)' CODEC(T64, ZSTD(1)),
    retirements UInt64 COMMENT 'hosts that ended to serve it (deployments)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, artifact_kind, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many hosts serve which artifact of which bundle, and since when? Buckets of 1 min.';

-- What did the edge withhold, and for which reason? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS privacy_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on: what was refused is told in the one of its kind alone, a turn in `turns`; `unknown` of what did not say what it is, such as half a line',
    fate LowCardinality(String) COMMENT 'what was done',
    because LowCardinality(String) COMMENT 'the dimension that gave way, or the reason of a refusal',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    observations UInt64 COMMENT 'observations that this was done to; one that was refused is told once, and so is each private field that was dropped from one; one that gave up two dimensions of both, and in each family that counts it (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, fate, because, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did the edge withhold, and for which reason? Buckets of 1 min.';

-- How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 1 min.
CREATE TABLE IF NOT EXISTS burn_rate_1m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    indicator LowCardinality(String) COMMENT 'the service level indicator',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    bad UInt64 COMMENT 'turns (or events, actions, audio frames) outside of the objective' CODEC(T64, ZSTD(1)),
    total UInt64 COMMENT 'those in which it could be judged' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (indicator, cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 1 min.';

-- What did turns and replicas use of what has a price, and what succeeded for it? Buckets of 10 min.
CREATE TABLE IF NOT EXISTS costs_10m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    model_version LowCardinality(String) COMMENT 'the version of the model that answered; empty where the cut does not name it',
    gpu_type LowCardinality(String) COMMENT 'kind of GPU, whole or a share of one; empty where the cut does not name it',
    purchase LowCardinality(String) COMMENT 'how capacity is paid for; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    turns UInt64 COMMENT 'turns that were paid for (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    success_audio_ms UInt64 COMMENT 'audio of both sides in successful turns (ms)' CODEC(T64, ZSTD(1)),
    attempts UInt64 COMMENT 'requests to models (attempts)' CODEC(T64, ZSTD(1)),
    attempts_retried UInt64 COMMENT 'requests after the first one of a turn (attempts)' CODEC(T64, ZSTD(1)),
    attempts_fallback UInt64 COMMENT 'requests to a fallback (attempts)' CODEC(T64, ZSTD(1)),
    attempts_shadow UInt64 COMMENT 'requests of shadow traffic (attempts)' CODEC(T64, ZSTD(1)),
    tokens_prompt UInt64 COMMENT 'prompt tokens written for this turn (tokens)' CODEC(T64, ZSTD(1)),
    tokens_carried UInt64 COMMENT 'prompt tokens carried over from the turns before (tokens)' CODEC(T64, ZSTD(1)),
    tokens_retrieved UInt64 COMMENT 'prompt tokens of retrieved chunks (tokens)' CODEC(T64, ZSTD(1)),
    tokens_cached UInt64 COMMENT 'prompt tokens that a cache had (tokens)' CODEC(T64, ZSTD(1)),
    tokens_out UInt64 COMMENT 'generated tokens (tokens)' CODEC(T64, ZSTD(1)),
    tokens_audio UInt64 COMMENT 'audio tokens, in and out (tokens)' CODEC(T64, ZSTD(1)),
    chunks_retrieved UInt64 COMMENT 'chunks that were retrieved (chunks)' CODEC(T64, ZSTD(1)),
    gpu_used_ms UInt64 COMMENT 'GPU time that turns used, GPU by GPU (ms)' CODEC(T64, ZSTD(1)),
    gpu_used_ms_sumsq UInt64 COMMENT 'sum over turns of squared GPU times, so that variances add (ms^2)' CODEC(T64, ZSTD(1)),
    gpu_reserved_ms UInt64 COMMENT 'GPU time that was paid for, idle included, GPU by GPU (ms)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did turns and replicas use of what has a price, and what succeeded for it? Buckets of 10 min.';

-- How well were labelled calls understood and answered, slice by slice? Buckets of 1 h.
CREATE TABLE IF NOT EXISTS quality_1h (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    accent LowCardinality(String) COMMENT 'accent class of the speaker; empty where the cut does not name it',
    noise_class LowCardinality(String) COMMENT 'background noise; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    calls UInt64 COMMENT 'calls that were labelled (calls)' CODEC(T64, ZSTD(1)),
    words UInt64 COMMENT 'words of the reference (words)' CODEC(T64, ZSTD(1)),
    word_errors UInt64 COMMENT 'words substituted, deleted or inserted (words)' CODEC(T64, ZSTD(1)),
    words_sumsq UInt64 COMMENT 'sum over calls of squared words of the reference (words^2)' CODEC(T64, ZSTD(1)),
    word_errors_sumsq UInt64 COMMENT 'sum over calls of squared word errors, so that variances add (words^2)' CODEC(T64, ZSTD(1)),
    word_errors_by_words UInt64 COMMENT 'sum over calls of word errors x words of the reference (words^2)' CODEC(T64, ZSTD(1)),
    characters UInt64 COMMENT 'characters of the reference (characters)' CODEC(T64, ZSTD(1)),
    character_errors UInt64 COMMENT 'characters substituted, deleted or inserted (characters)' CODEC(T64, ZSTD(1)),
    entities UInt64 COMMENT 'names, numbers and other entities of the reference (entities)' CODEC(T64, ZSTD(1)),
    entity_errors UInt64 COMMENT 'entities that were missed or wrong (entities)' CODEC(T64, ZSTD(1)),
    endpoints UInt64 COMMENT 'ends of speech (endpoints)' CODEC(T64, ZSTD(1)),
    endpoint_errors UInt64 COMMENT 'ends of speech that were detected too early or too late (endpoints)' CODEC(T64, ZSTD(1)),
    partials UInt64 COMMENT 'partial transcripts that were shown (partials)' CODEC(T64, ZSTD(1)),
    partials_rewritten UInt64 COMMENT 'partial transcripts that were rewritten (partials)' CODEC(T64, ZSTD(1)),
    answers UInt64 COMMENT 'answers that were judged (answers)' CODEC(T64, ZSTD(1)),
    answers_corrected UInt64 COMMENT 'answers that their user corrected (answers)' CODEC(T64, ZSTD(1)),
    answers_ungrounded UInt64 COMMENT 'answers that no source supports (answers)' CODEC(T64, ZSTD(1)),
    citations UInt64 COMMENT 'sources that were cited (citations)' CODEC(T64, ZSTD(1)),
    citations_stale UInt64 COMMENT 'cited sources that were out of date (citations)' CODEC(T64, ZSTD(1)),
    lookups_aged UInt64 COMMENT 'lookups whose index\'s age was known (lookups)' CODEC(T64, ZSTD(1)),
    index_age_s_sum UInt64 COMMENT 'sum of the ages of their indexes (s)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How well were labelled calls understood and answered, slice by slice? Buckets of 1 h.';

-- What came later than 120 s in turns, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS turns_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    turns UInt64 COMMENT 'turns that ended in the window (turns)' CODEC(T64, ZSTD(1)),
    audio_in_ms UInt64 COMMENT 'audio received from users (ms)' CODEC(T64, ZSTD(1)),
    audio_out_ms UInt64 COMMENT 'audio synthesised for users (ms)' CODEC(T64, ZSTD(1)),
    tokens_in UInt64 COMMENT 'prompt tokens (tokens)' CODEC(T64, ZSTD(1)),
    tokens_out UInt64 COMMENT 'generated tokens (tokens)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sum UInt64 COMMENT 'sum of whole-turn latencies (ms)' CODEC(T64, ZSTD(1)),
    turn_latency_ms_sumsq UInt64 COMMENT 'sum of squared whole-turn latencies, so that variances add (ms^2)' CODEC(T64, ZSTD(1)),
    first_partial_500ms_total UInt64 COMMENT 'turns in which it could be judged: first partial transcript below 500 ms (turns)' CODEC(T64, ZSTD(1)),
    first_partial_500ms_bad UInt64 COMMENT 'turns outside of: first partial transcript below 500 ms (turns)' CODEC(T64, ZSTD(1)),
    first_audio_1800ms_total UInt64 COMMENT 'turns in which it could be judged: first synthesised audio below 1.8 s (turns)' CODEC(T64, ZSTD(1)),
    first_audio_1800ms_bad UInt64 COMMENT 'turns outside of: first synthesised audio below 1.8 s (turns)' CODEC(T64, ZSTD(1)),
    turn_4000ms_total UInt64 COMMENT 'turns in which it could be judged: whole turn below 4 s (turns)' CODEC(T64, ZSTD(1)),
    turn_4000ms_bad UInt64 COMMENT 'turns outside of: whole turn below 4 s (turns)' CODEC(T64, ZSTD(1)),
    queue_wait_250ms_total UInt64 COMMENT 'turns in which it could be judged: queue wait up to 250 ms (turns)' CODEC(T64, ZSTD(1)),
    queue_wait_250ms_bad UInt64 COMMENT 'turns outside of: queue wait up to 250 ms (turns)' CODEC(T64, ZSTD(1)),
    turn_error_total UInt64 COMMENT 'turns in which it could be judged: turn without error (turns)' CODEC(T64, ZSTD(1)),
    turn_error_bad UInt64 COMMENT 'turns outside of: turn without error (turns)' CODEC(T64, ZSTD(1)),
    abandonment_total UInt64 COMMENT 'turns in which it could be judged: turn not abandoned by the user (turns)' CODEC(T64, ZSTD(1)),
    abandonment_bad UInt64 COMMENT 'turns outside of: turn not abandoned by the user (turns)' CODEC(T64, ZSTD(1)),
    retrieval_stale_total UInt64 COMMENT 'turns in which it could be judged: retrieval answered from a fresh index (turns)' CODEC(T64, ZSTD(1)),
    retrieval_stale_bad UInt64 COMMENT 'turns outside of: retrieval answered from a fresh index (turns)' CODEC(T64, ZSTD(1)),
    privacy_error_total UInt64 COMMENT 'turns in which it could be judged: turn without a privacy error (turns)' CODEC(T64, ZSTD(1)),
    privacy_error_bad UInt64 COMMENT 'turns outside of: turn without a privacy error (turns)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in turns, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in stages, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS stages_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    stage LowCardinality(String) COMMENT 'which part of the turn',
    scale Int8 COMMENT 'scale of the base-2 exponential histogram',
    bucket_index Int32 COMMENT 'bucket (base^index, base^(index+1)] ms, base = 2^(2^-scale); -32768 holds zeros' CODEC(ZSTD(1)),
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    observations UInt64 COMMENT 'observations in this bucket (observations)' CODEC(T64, ZSTD(1)),
    latency_ms_sum UInt64 COMMENT 'sum of the latencies in this bucket (ms)' CODEC(T64, ZSTD(1)),
    latency_ms_sumsq UInt64 COMMENT 'sum of the squared latencies in this bucket (ms^2)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, stage, scale, bucket_index, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in stages, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in streams, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS streams_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    second UInt8 COMMENT 'second of the bucket, from 0',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    active_at_start UInt64 COMMENT 'streams active at the window\'s first instant (second 0 only) (streams)' CODEC(T64, ZSTD(1)),
    starts UInt64 COMMENT 'streams that started in this second (streams)' CODEC(T64, ZSTD(1)),
    ends UInt64 COMMENT 'streams that ended in this second (streams)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, second, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in streams, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in heartbeats, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS heartbeats_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    rows_sent UInt64 COMMENT 'rows of the reported family sent for the window (rows)' CODEC(T64, ZSTD(1)),
    observations_seen UInt64 COMMENT 'observations of the reported family taken in (observations)' CODEC(T64, ZSTD(1)),
    observations_dropped UInt64 COMMENT 'observations that a full buffer or a failed check dropped (observations)' CODEC(T64, ZSTD(1)),
    observations_held UInt64 COMMENT 'observations held back below k, which join a later window (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in heartbeats, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in duplex, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS duplex_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    events UInt64 COMMENT 'events of the kind in the window (events)' CODEC(T64, ZSTD(1)),
    interruption_success_total UInt64 COMMENT 'events in which it could be judged: assistant stopped for the user and answered the new intent (events)' CODEC(T64, ZSTD(1)),
    interruption_success_bad UInt64 COMMENT 'events outside of: assistant stopped for the user and answered the new intent (events)' CODEC(T64, ZSTD(1)),
    false_interruption_total UInt64 COMMENT 'events in which it could be judged: assistant\'s turn not stopped without a user\'s interruption (events)' CODEC(T64, ZSTD(1)),
    false_interruption_bad UInt64 COMMENT 'events outside of: assistant\'s turn not stopped without a user\'s interruption (events)' CODEC(T64, ZSTD(1)),
    backchannel_timing_total UInt64 COMMENT 'events in which it could be judged: backchannel placed 200 to 800 ms after its cue (events)' CODEC(T64, ZSTD(1)),
    backchannel_timing_bad UInt64 COMMENT 'events outside of: backchannel placed 200 to 800 ms after its cue (events)' CODEC(T64, ZSTD(1)),
    assistant_stop_300ms_total UInt64 COMMENT 'events in which it could be judged: assistant\'s audio stopped within 300 ms of a barge-in (events)' CODEC(T64, ZSTD(1)),
    assistant_stop_300ms_bad UInt64 COMMENT 'events outside of: assistant\'s audio stopped within 300 ms of a barge-in (events)' CODEC(T64, ZSTD(1)),
    overlap_recovery_1500ms_total UInt64 COMMENT 'events in which it could be judged: overlap of both speakers resolved within 1.5 s (events)' CODEC(T64, ZSTD(1)),
    overlap_recovery_1500ms_bad UInt64 COMMENT 'events outside of: overlap of both speakers resolved within 1.5 s (events)' CODEC(T64, ZSTD(1)),
    barge_in_latency_200ms_total UInt64 COMMENT 'events in which it could be judged: barge-in detected within 200 ms (events)' CODEC(T64, ZSTD(1)),
    barge_in_latency_200ms_bad UInt64 COMMENT 'events outside of: barge-in detected within 200 ms (events)' CODEC(T64, ZSTD(1)),
    micro_turn_freshness_400ms_total UInt64 COMMENT 'events in which it could be judged: micro-turn\'s context not older than 400 ms (events)' CODEC(T64, ZSTD(1)),
    micro_turn_freshness_400ms_bad UInt64 COMMENT 'events outside of: micro-turn\'s context not older than 400 ms (events)' CODEC(T64, ZSTD(1)),
    action_safety_total UInt64 COMMENT 'actions in which it could be judged: safety decided before the action was emitted (actions)' CODEC(T64, ZSTD(1)),
    action_safety_bad UInt64 COMMENT 'actions outside of: safety decided before the action was emitted (actions)' CODEC(T64, ZSTD(1)),
    speech_continuity_60ms_total UInt64 COMMENT 'frames in which it could be judged: audio frame played without a gap above 60 ms (frames)' CODEC(T64, ZSTD(1)),
    speech_continuity_60ms_bad UInt64 COMMENT 'frames outside of: audio frame played without a gap above 60 ms (frames)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in duplex, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in outcomes, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS outcomes_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    connection LowCardinality(String) COMMENT 'network of the caller; empty where the cut does not name it',
    codec LowCardinality(String) COMMENT 'audio codec of the call; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    outcomes UInt64 COMMENT 'turns whose outcome was observed (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    errors UInt64 COMMENT 'turns that ended in an error (turns)' CODEC(T64, ZSTD(1)),
    abandonments UInt64 COMMENT 'turns that their user abandoned (turns)' CODEC(T64, ZSTD(1)),
    interruptions UInt64 COMMENT 'turns that their user interrupted (turns)' CODEC(T64, ZSTD(1)),
    handoffs UInt64 COMMENT 'turns that were handed to a human (turns)' CODEC(T64, ZSTD(1)),
    cancellations UInt64 COMMENT 'turns that were cancelled before they were answered (turns)' CODEC(T64, ZSTD(1)),
    refusals UInt64 COMMENT 'turns that the assistant refused to answer (turns)' CODEC(T64, ZSTD(1)),
    lookups UInt64 COMMENT 'turns that retrieved something (turns)' CODEC(T64, ZSTD(1)),
    lookups_stale UInt64 COMMENT 'turns that retrieved from a stale index (turns)' CODEC(T64, ZSTD(1)),
    tool_calls UInt64 COMMENT 'tool calls (calls)' CODEC(T64, ZSTD(1)),
    tool_calls_unsafe UInt64 COMMENT 'tool calls that a safety check found wrong (calls)' CODEC(T64, ZSTD(1)),
    synthetic_voices UInt64 COMMENT 'turns spoken by a synthetic voice (turns)' CODEC(T64, ZSTD(1)),
    retries UInt64 COMMENT 'attempts after the first one (attempts)' CODEC(T64, ZSTD(1)),
    fallbacks UInt64 COMMENT 'attempts on a fallback model or route (attempts)' CODEC(T64, ZSTD(1)),
    shadows UInt64 COMMENT 'attempts on shadow traffic, which nobody heard (attempts)' CODEC(T64, ZSTD(1)),
    tokens_cached UInt64 COMMENT 'prompt tokens that a cache had (tokens)' CODEC(T64, ZSTD(1)),
    tokens_audio UInt64 COMMENT 'audio tokens, in and out (tokens)' CODEC(T64, ZSTD(1)),
    jitter_turns UInt64 COMMENT 'turns whose network jitter was measured (turns)' CODEC(T64, ZSTD(1)),
    jitter_ms_sum UInt64 COMMENT 'sum of their mean jitters (ms)' CODEC(T64, ZSTD(1)),
    jitter_ms_sumsq UInt64 COMMENT 'sum of their squared mean jitters (ms^2)' CODEC(T64, ZSTD(1)),
    chunks UInt64 COMMENT 'chunks of audio that were sent (chunks)' CODEC(T64, ZSTD(1)),
    chunks_late UInt64 COMMENT 'chunks sent later than the one before had been played (chunks)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in outcomes, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in tenants, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS tenants_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    tenant_lookups UInt64 COMMENT 'turns that retrieved something (turns)' CODEC(T64, ZSTD(1)),
    tenant_lookups_stale UInt64 COMMENT 'turns that retrieved from a stale index (turns)' CODEC(T64, ZSTD(1)),
    tenant_tool_calls UInt64 COMMENT 'tool calls (calls)' CODEC(T64, ZSTD(1)),
    tenant_tool_calls_unsafe UInt64 COMMENT 'tool calls that a safety check found wrong (calls); noised where the collector is told to: epsilon 0.25 a window and 360 a day, at most 2 of a session and window, ± 24 at 95 % in each collector\'s cell and window, 4.0 on average where there was nothing' CODEC(T64, ZSTD(1)),
    tenant_synthetic_voices UInt64 COMMENT 'turns spoken by a synthetic voice (turns)' CODEC(T64, ZSTD(1)),
    tenant_handoffs UInt64 COMMENT 'turns that were handed to a human (turns); noised where the collector is told to: epsilon 0.25 a window and 360 a day, at most 1 of a session and window, ± 12 at 95 % in each collector\'s cell and window, 2.0 on average where there was nothing' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in tenants, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in queues, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS queues_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    queue LowCardinality(String) COMMENT 'the stage that is waited for',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    depth UInt64 COMMENT 'requests that wait (requests)' CODEC(T64, ZSTD(1)),
    running UInt64 COMMENT 'requests that are served (requests)' CODEC(T64, ZSTD(1)),
    servers UInt64 COMMENT 'replicas that serve (replicas)' CODEC(T64, ZSTD(1)),
    warm_streams UInt64 COMMENT 'streams that warm replicas could serve at once (streams)' CODEC(T64, ZSTD(1)),
    depth_from UInt64 COMMENT 'requests that waited at the window\'s start, of engines there at its end too (requests)' CODEC(T64, ZSTD(1)),
    depth_to UInt64 COMMENT 'requests that waited at the window\'s end, of engines there at its start too (requests)' CODEC(T64, ZSTD(1)),
    arrivals UInt64 COMMENT 'requests that came (requests)' CODEC(T64, ZSTD(1)),
    served UInt64 COMMENT 'requests that were served to their end (requests)' CODEC(T64, ZSTD(1)),
    batch_arrivals UInt64 COMMENT 'requests of batch work among those that came (requests)' CODEC(T64, ZSTD(1)),
    waited_ms_sum UInt64 COMMENT 'sum of the waits of those that began to be served (ms)' CODEC(T64, ZSTD(1)),
    busy_ms UInt64 COMMENT 'time that replicas were serving, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    available_ms UInt64 COMMENT 'time that replicas were there, replica by replica (ms)' CODEC(T64, ZSTD(1)),
    batch_slots UInt64 COMMENT 'places in batches, step by step (slots)' CODEC(T64, ZSTD(1)),
    batch_slots_filled UInt64 COMMENT 'places in batches that a request filled (slots)' CODEC(T64, ZSTD(1)),
    kv_blocks UInt64 COMMENT 'blocks of KV cache (blocks)' CODEC(T64, ZSTD(1)),
    kv_blocks_used UInt64 COMMENT 'blocks of KV cache in use (blocks)' CODEC(T64, ZSTD(1)),
    preemptions UInt64 COMMENT 'requests that were put back for want of cache (requests)' CODEC(T64, ZSTD(1)),
    drafts_proposed UInt64 COMMENT 'tokens that speculative decoding proposed (tokens)' CODEC(T64, ZSTD(1)),
    drafts_accepted UInt64 COMMENT 'proposed tokens that were accepted (tokens)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, queue, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in queues, and whose was it? The views add it; alerts do not look back.';

-- What came later than 259200 s in quality, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS quality_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    accent LowCardinality(String) COMMENT 'accent class of the speaker; empty where the cut does not name it',
    noise_class LowCardinality(String) COMMENT 'background noise; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    calls UInt64 COMMENT 'calls that were labelled (calls)' CODEC(T64, ZSTD(1)),
    words UInt64 COMMENT 'words of the reference (words)' CODEC(T64, ZSTD(1)),
    word_errors UInt64 COMMENT 'words substituted, deleted or inserted (words)' CODEC(T64, ZSTD(1)),
    words_sumsq UInt64 COMMENT 'sum over calls of squared words of the reference (words^2)' CODEC(T64, ZSTD(1)),
    word_errors_sumsq UInt64 COMMENT 'sum over calls of squared word errors, so that variances add (words^2)' CODEC(T64, ZSTD(1)),
    word_errors_by_words UInt64 COMMENT 'sum over calls of word errors x words of the reference (words^2)' CODEC(T64, ZSTD(1)),
    characters UInt64 COMMENT 'characters of the reference (characters)' CODEC(T64, ZSTD(1)),
    character_errors UInt64 COMMENT 'characters substituted, deleted or inserted (characters)' CODEC(T64, ZSTD(1)),
    entities UInt64 COMMENT 'names, numbers and other entities of the reference (entities)' CODEC(T64, ZSTD(1)),
    entity_errors UInt64 COMMENT 'entities that were missed or wrong (entities)' CODEC(T64, ZSTD(1)),
    endpoints UInt64 COMMENT 'ends of speech (endpoints)' CODEC(T64, ZSTD(1)),
    endpoint_errors UInt64 COMMENT 'ends of speech that were detected too early or too late (endpoints)' CODEC(T64, ZSTD(1)),
    partials UInt64 COMMENT 'partial transcripts that were shown (partials)' CODEC(T64, ZSTD(1)),
    partials_rewritten UInt64 COMMENT 'partial transcripts that were rewritten (partials)' CODEC(T64, ZSTD(1)),
    answers UInt64 COMMENT 'answers that were judged (answers)' CODEC(T64, ZSTD(1)),
    answers_corrected UInt64 COMMENT 'answers that their user corrected (answers)' CODEC(T64, ZSTD(1)),
    answers_ungrounded UInt64 COMMENT 'answers that no source supports (answers)' CODEC(T64, ZSTD(1)),
    citations UInt64 COMMENT 'sources that were cited (citations)' CODEC(T64, ZSTD(1)),
    citations_stale UInt64 COMMENT 'cited sources that were out of date (citations)' CODEC(T64, ZSTD(1)),
    lookups_aged UInt64 COMMENT 'lookups whose index\'s age was known (lookups)' CODEC(T64, ZSTD(1)),
    index_age_s_sum UInt64 COMMENT 'sum of the ages of their indexes (s)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 259200 s in quality, and whose was it? The views add it; alerts do not look back.';

-- What came later than 21600 s in costs, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS costs_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    model_version LowCardinality(String) COMMENT 'the version of the model that answered; empty where the cut does not name it',
    gpu_type LowCardinality(String) COMMENT 'kind of GPU, whole or a share of one; empty where the cut does not name it',
    purchase LowCardinality(String) COMMENT 'how capacity is paid for; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    turns UInt64 COMMENT 'turns that were paid for (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    success_audio_ms UInt64 COMMENT 'audio of both sides in successful turns (ms)' CODEC(T64, ZSTD(1)),
    attempts UInt64 COMMENT 'requests to models (attempts)' CODEC(T64, ZSTD(1)),
    attempts_retried UInt64 COMMENT 'requests after the first one of a turn (attempts)' CODEC(T64, ZSTD(1)),
    attempts_fallback UInt64 COMMENT 'requests to a fallback (attempts)' CODEC(T64, ZSTD(1)),
    attempts_shadow UInt64 COMMENT 'requests of shadow traffic (attempts)' CODEC(T64, ZSTD(1)),
    tokens_prompt UInt64 COMMENT 'prompt tokens written for this turn (tokens)' CODEC(T64, ZSTD(1)),
    tokens_carried UInt64 COMMENT 'prompt tokens carried over from the turns before (tokens)' CODEC(T64, ZSTD(1)),
    tokens_retrieved UInt64 COMMENT 'prompt tokens of retrieved chunks (tokens)' CODEC(T64, ZSTD(1)),
    tokens_cached UInt64 COMMENT 'prompt tokens that a cache had (tokens)' CODEC(T64, ZSTD(1)),
    tokens_out UInt64 COMMENT 'generated tokens (tokens)' CODEC(T64, ZSTD(1)),
    tokens_audio UInt64 COMMENT 'audio tokens, in and out (tokens)' CODEC(T64, ZSTD(1)),
    chunks_retrieved UInt64 COMMENT 'chunks that were retrieved (chunks)' CODEC(T64, ZSTD(1)),
    gpu_used_ms UInt64 COMMENT 'GPU time that turns used, GPU by GPU (ms)' CODEC(T64, ZSTD(1)),
    gpu_used_ms_sumsq UInt64 COMMENT 'sum over turns of squared GPU times, so that variances add (ms^2)' CODEC(T64, ZSTD(1)),
    gpu_reserved_ms UInt64 COMMENT 'GPU time that was paid for, idle included, GPU by GPU (ms)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 21600 s in costs, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in releases, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS releases_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    artifact LowCardinality(String) COMMENT 'one versioned part of a bundle; empty where the cut does not name it',
    artifact_kind LowCardinality(String) COMMENT 'what the artifact is',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    hosts UInt64 COMMENT 'hosts that serve it (hosts)' CODEC(T64, ZSTD(1)),
    deployments UInt64 COMMENT 'hosts that began to serve it (deployments)' CODEC(T64, ZSTD(1)),
    retirements UInt64 COMMENT 'hosts that ended to serve it (deployments)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, artifact_kind, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in releases, and whose was it? The views add it; alerts do not look back.';

-- What came later than 120 s in privacy, and whose was it? The views add it; alerts do not look back.
CREATE TABLE IF NOT EXISTS privacy_late (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    reported_family LowCardinality(String) COMMENT 'the family that is reported on: what was refused is told in the one of its kind alone, a turn in `turns`; `unknown` of what did not say what it is, such as half a line',
    fate LowCardinality(String) COMMENT 'what was done',
    because LowCardinality(String) COMMENT 'the dimension that gave way, or the reason of a refusal',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    origin_topic LowCardinality(String) COMMENT 'the topic it was read from',
    origin_partition UInt32 COMMENT 'partition of that topic',
    origin_offset UInt64 COMMENT 'offset of the frame; 0 for rows of a source partition that lagged behind the others' CODEC(T64, ZSTD(1)),
    producer LowCardinality(String) COMMENT 'the producer that was late; empty for rows of a lagging partition',
    observations UInt64 COMMENT 'observations that this was done to; one that was refused is told once, and so is each private field that was dropped from one; one that gave up two dimensions of both, and in each family that counts it (observations)' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(bucket_start, 'UTC')
ORDER BY (cut, slice, reported_family, fate, because, bucket_start, origin_topic, origin_partition, origin_offset)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What came later than 120 s in privacy, and whose was it? The views add it; alerts do not look back.';

-- What did each ten minutes cost, at the prices of their time, and what had none?
CREATE TABLE IF NOT EXISTS spend_10m (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    model_version LowCardinality(String) COMMENT 'the version of the model that answered; empty where the cut does not name it',
    gpu_type LowCardinality(String) COMMENT 'kind of GPU, whole or a share of one; empty where the cut does not name it',
    purchase LowCardinality(String) COMMENT 'how capacity is paid for; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    turns UInt64 COMMENT 'turns that were paid for (turns)' CODEC(T64, ZSTD(1)),
    successes UInt64 COMMENT 'turns that did what their user wanted (turns)' CODEC(T64, ZSTD(1)),
    success_audio_ms UInt64 COMMENT 'audio of both sides in successful turns (ms)' CODEC(T64, ZSTD(1)),
    used_nusd UInt64 COMMENT 'cost of what turns used (US nano-dollars)' CODEC(T64, ZSTD(1)),
    reserved_nusd UInt64 COMMENT 'cost of what was paid for, idle included (US nano-dollars)' CODEC(T64, ZSTD(1)),
    uncosted_gpu_ms UInt64 COMMENT 'GPU time that has no price (ms)' CODEC(T64, ZSTD(1)),
    uncosted_tokens UInt64 COMMENT 'tokens of hosted models that have no price' CODEC(T64, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did each ten minutes cost, at the prices of their time, and what had none?';

-- What was each figure of each slice in each hour, what was it compared with, and does it drift?
CREATE TABLE IF NOT EXISTS drift_1h (
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    accent LowCardinality(String) COMMENT 'accent class of the speaker; empty where the cut does not name it',
    noise_class LowCardinality(String) COMMENT 'background noise; empty where the cut does not name it',
    tenant LowCardinality(String) COMMENT 'customer, as a pseudonym stable for the retention period; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    client_version LowCardinality(String) COMMENT 'version of the client application; empty where the cut does not name it',
    connection LowCardinality(String) COMMENT 'network of the caller; empty where the cut does not name it',
    codec LowCardinality(String) COMMENT 'audio codec of the call; empty where the cut does not name it',
    measure LowCardinality(String) COMMENT 'the figure, such as word_error_rate; of a stage its latencies\' shape, such as heard_shape',
    bucket_start DateTime64(3, 'UTC') COMMENT 'start of the bucket, event time' CODEC(Delta, ZSTD(1)),
    state LowCardinality(String) COMMENT 'drifted, steady, learning (how it strays by itself is not known yet), not_enough or no_reference; none but the second says that it is well',
    value Nullable(Float64) COMMENT 'the figure in this hour: a share, or in its unit; of a shape its population stability index',
    reference_value Nullable(Float64) COMMENT 'the same of what it is compared with; of a shape 0',
    samples UInt64 COMMENT 'what the figure is over: words, turns, observations' CODEC(T64, ZSTD(1)),
    reference_samples UInt64 COMMENT 'the same of its reference' CODEC(T64, ZSTD(1)),
    excess Nullable(Float64) COMMENT 'standard deviations above what is tolerated; null where nothing was compared',
    evidence Float64 COMMENT 'decimal logarithm of the evidence that it changed, when this hour was judged last' CODEC(ZSTD(1)),
    spread Float64 COMMENT 'how many times the variance of independent samples, or calls, its own hours have; at least 1' CODEC(ZSTD(1)),
    divergence_bits Nullable(Float64) COMMENT 'of a shape the Jensen-Shannon divergence from its reference (bits)',
    reference LowCardinality(String) COMMENT 'week_before, day_before, frozen or none',
    reference_slice LowCardinality(String) COMMENT 'the slice that it is compared with: itself, or with the bundle before its own',
    since Nullable(DateTime64(3, 'UTC')) COMMENT 'when what drifts began to, event time',
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(bucket_start, 'UTC')
ORDER BY (measure, cut, slice, bucket_start)
TTL toDateTime(bucket_start, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What was each figure of each slice in each hour, what was it compared with, and does it drift?';

-- How fast does each SLO spend its budget in each window, what is left, and when is it spent?
CREATE TABLE IF NOT EXISTS burn_windows (
    slo LowCardinality(String) COMMENT 'the service level objective',
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    decided_at DateTime64(3, 'UTC') COMMENT 'end of the newest decided bucket, event time' CODEC(Delta, ZSTD(1)),
    window LowCardinality(String) COMMENT 'the window, from short to long: 1m 5m 10m 30m 1h 2h 6h 1d 3d, and the period',
    window_s UInt32 COMMENT 'length of the window in seconds',
    bad UInt64 COMMENT 'bad turns (or events, actions, audio frames) in the window' CODEC(T64, ZSTD(1)),
    total UInt64 COMMENT 'judged ones in the window' CODEC(T64, ZSTD(1)),
    burn Float64 COMMENT '(bad / total) / (1 - objective); 0 without traffic' CODEC(ZSTD(1)),
    budget_left Float64 COMMENT '1 - bad / (total x (1 - objective)) over the period' CODEC(ZSTD(1)),
    exhausted_in_s Nullable(Float64) COMMENT 'seconds until the budget is spent at this window\'s burn; empty when nothing burns',
    spent_today Nullable(Float64) COMMENT 'bad turns since 00:00 UTC / those that the period\'s expected traffic allows; empty before an hour of history',
    one_failure_costs Nullable(Float64) COMMENT '1 / the bad turns that the period\'s expected traffic allows; empty before an hour of history',
    completeness Float64 COMMENT 'share of recent volume that had reported when this was decided' CODEC(ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toMonday(decided_at, 'UTC')
ORDER BY (slo, cut, decided_at, slice, window_s)
TTL toDateTime(decided_at, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How fast does each SLO spend its budget in each window, what is left, and when is it spent?';

-- What paged, when did it begin and end, and on what grounds?
CREATE TABLE IF NOT EXISTS pages (
    alert LowCardinality(String) COMMENT 'identity of the alert: slo, slice and severity',
    slo LowCardinality(String) COMMENT 'the service level objective',
    slice LowCardinality(String) COMMENT 'the slice that burnt',
    severity LowCardinality(String) COMMENT 'page or ticket',
    state LowCardinality(String) COMMENT 'pending (nobody is told yet), firing, frozen (no fresh data to judge it by) or resolved',
    scope LowCardinality(String) COMMENT 'fleet where the slice is the whole pool, else slice',
    incident LowCardinality(String) COMMENT 'the incident that it belongs to since it fired; empty of what never did',
    policy_row LowCardinality(String) COMMENT 'the policy row that gave the numbers',
    starts_event DateTime64(3, 'UTC') COMMENT 'decided instant at which it began, event time' CODEC(Delta, ZSTD(1)),
    decided_event DateTime64(3, 'UTC') COMMENT 'decided instant of this statement, event time' CODEC(Delta, ZSTD(1)),
    starts DateTime64(3, 'UTC') COMMENT 'when it began, wall clock' CODEC(Delta, ZSTD(1)),
    ends Nullable(DateTime64(3, 'UTC')) COMMENT 'when it ended, wall clock',
    long_burn Float64 COMMENT 'burn over the long window' CODEC(ZSTD(1)),
    short_burn Float64 COMMENT 'burn over the short window' CODEC(ZSTD(1)),
    budget_left Float64 COMMENT '1 - bad / (total x (1 - objective)) over the period' CODEC(ZSTD(1)),
    exhausted_in_s Nullable(Float64) COMMENT 'seconds until the budget is spent',
    completeness Float64 COMMENT 'share of recent volume it was decided on' CODEC(ZSTD(1)),
    summary String COMMENT 'the page\'s summary line',
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(starts_event, 'UTC')
ORDER BY (alert, starts_event, version)
TTL toDateTime(decided_event, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What paged, when did it begin and end, and on what grounds?';

-- What did the questions find besides burns, since when, what is to be done about it, and when did it end?
CREATE TABLE IF NOT EXISTS findings (
    alert LowCardinality(String) COMMENT 'name of the alert, such as Saturated',
    finding String COMMENT 'identity of the finding: alert, slice, further labels and severity',
    question LowCardinality(String) COMMENT 'the question that found it',
    cut LowCardinality(String) COMMENT 'the dimensions of the slice',
    slice LowCardinality(String) COMMENT 'the slice that it is about',
    severity LowCardinality(String) COMMENT 'page or ticket',
    state LowCardinality(String) COMMENT 'firing, frozen (nothing newer confirms or ends it) or resolved',
    incident LowCardinality(String) COMMENT 'the incident that it belongs to; empty of a ticket',
    since DateTime64(3, 'UTC') COMMENT 'from when on it holds, event time' CODEC(Delta, ZSTD(1)),
    starts_event DateTime64(3, 'UTC') COMMENT 'what was decided when it was stated first, event time' CODEC(Delta, ZSTD(1)),
    decided_event DateTime64(3, 'UTC') COMMENT 'decided instant of this statement, event time' CODEC(Delta, ZSTD(1)),
    starts DateTime64(3, 'UTC') COMMENT 'when it began to fire, wall clock' CODEC(Delta, ZSTD(1)),
    ends Nullable(DateTime64(3, 'UTC')) COMMENT 'when it ended, wall clock',
    completeness Float64 COMMENT 'share of recent volume it was decided on' CODEC(ZSTD(1)),
    summary String COMMENT 'what was found, in one line',
    action String COMMENT 'what is to be done about it',
    runbook String COMMENT 'path of its runbook in the repository',
    labels String COMMENT 'what tells it apart from others of its slice, as a JSON object',
    facts String COMMENT 'the figures behind it, each in the unit that its name ends in, as JSON',
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(starts_event, 'UTC')
ORDER BY (alert, slice, finding, starts_event, version)
TTL toDateTime(decided_event, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did the questions find besides burns, since when, what is to be done about it, and when did it end?';

-- What is a budget not charged for, who said so, when and why? Every event is a row.
CREATE TABLE IF NOT EXISTS exclusions (
    id LowCardinality(String) COMMENT 'the exclusion: the same window of the same slice and objective has the same',
    action String COMMENT 'declared or withdrawn; the newest event of an id counts',
    slo LowCardinality(String) COMMENT 'the service level objective, or all',
    cut LowCardinality(String) COMMENT 'the dimensions of the slice',
    slice LowCardinality(String) COMMENT 'the slice that is excluded, with every slice inside of it',
    from_at DateTime64(3, 'UTC') COMMENT 'first excluded minute, event time' CODEC(Delta, ZSTD(1)),
    to_at DateTime64(3, 'UTC') COMMENT 'the minute after the last excluded one, event time' CODEC(Delta, ZSTD(1)),
    who String COMMENT 'who declared or withdrew it',
    why String COMMENT 'the reason that they gave',
    at DateTime64(3, 'UTC') COMMENT 'when they did, wall clock' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at, 'UTC')
ORDER BY (slo, slice, id, at)
TTL toDateTime(to_at, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What is a budget not charged for, who said so, when and why? Every event is a row.';

-- What is each bundle made of, who answers for each part, what was it made from, and what are the ways back?
CREATE TABLE IF NOT EXISTS releases (
    bundle LowCardinality(String) COMMENT 'the release bundle',
    cut String COMMENT 'the dimensions of the slice: bundle',
    slice LowCardinality(String) COMMENT 'the slice of everything that it serves',
    artifact_kind LowCardinality(String) COMMENT 'what the artifact is',
    artifact LowCardinality(String) COMMENT 'one versioned part of the bundle',
    artifact_version String COMMENT 'its version',
    owner String COMMENT 'who answers for it',
    lineage String COMMENT 'what it was made from: references, with blanks between them',
    evaluation String COMMENT 'its evaluation report',
    rollback_to String COMMENT 'the version to go back to',
    ways_back String COMMENT 'ways to undo the release, with semicolons between them',
    who String COMMENT 'who declared the release',
    at DateTime64(3, 'UTC') COMMENT 'when they did, wall clock; the newest declaration of a bundle counts, whole' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at, 'UTC')
ORDER BY (bundle, artifact_kind, artifact, at)
TTL toDateTime(at, 'UTC') + INTERVAL 3650 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What is each bundle made of, who answers for each part, what was it made from, and what are the ways back?';

-- What did gates say of each release at every look, and by which figures, slice by slice and metric by metric?
CREATE TABLE IF NOT EXISTS verdicts (
    release LowCardinality(String) COMMENT 'the bundle that is judged',
    baseline LowCardinality(String) COMMENT 'the bundle that it is compared with',
    cut String COMMENT 'the dimensions of the slice; bundle in the row of the verdict itself',
    slice LowCardinality(String) COMMENT 'the slice, without its bundle; the release\'s in the row of the verdict itself',
    metric LowCardinality(String) COMMENT 'the metric; empty in the row of the verdict itself',
    decision LowCardinality(String) COMMENT 'of the whole verdict: continue, pause or rollback',
    outcome LowCardinality(String) COMMENT 'of the metric: worse, undecided, insufficient or inside',
    reason LowCardinality(String) COMMENT 'what a verdict calls the metric; in the row of the verdict itself all that got worse',
    is_protected UInt64 COMMENT '1 where nothing may go on while this is not judged' CODEC(T64, ZSTD(1)),
    unit LowCardinality(String) COMMENT 'the unit of values, bounds and of what is allowed',
    baseline_value Nullable(Float64) COMMENT 'the metric of the baseline',
    candidate_value Nullable(Float64) COMMENT 'the metric of the candidate',
    baseline_samples UInt64 COMMENT 'what the baseline\'s value is of' CODEC(T64, ZSTD(1)),
    candidate_samples UInt64 COMMENT 'what the candidate\'s value is of' CODEC(T64, ZSTD(1)),
    windows UInt64 COMMENT 'roll-up windows in which both served' CODEC(T64, ZSTD(1)),
    allowed Nullable(Float64) COMMENT 'how much worse it may get; unknown where that is a ratio of nothing yet',
    low Nullable(Float64) COMMENT 'lower bound of how much worse it is, valid at all looks',
    high Nullable(Float64) COMMENT 'upper bound of how much worse it is, valid at all looks',
    alpha Nullable(Float64) COMMENT 'the error rate that the bounds hold, unknown where nothing is spent yet; in the row of the verdict itself that of all of them',
    because String COMMENT 'why, in one line',
    blockers String COMMENT 'slices that got worse with their reasons, semicolons between them',
    insufficient String COMMENT 'slices of too few samples, semicolons between them',
    way_back String COMMENT 'the smallest declared step that restores what got worse',
    way_back_because String COMMENT 'why that step',
    policy LowCardinality(String) COMMENT 'the policy that judged',
    policy_version LowCardinality(String) COMMENT 'hash of all that the policy said',
    asked String COMMENT 'the queries that the figures came from',
    from_at DateTime64(3, 'UTC') COMMENT 'from when on both were read, event time' CODEC(Delta, ZSTD(1)),
    to_at DateTime64(3, 'UTC') COMMENT 'up to when, event time' CODEC(Delta, ZSTD(1)),
    who String COMMENT 'who asked',
    at DateTime64(3, 'UTC') COMMENT 'when they did, wall clock; the newest verdict of a release counts' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at, 'UTC')
ORDER BY (release, at, slice, metric)
TTL toDateTime(at, 'UTC') + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'What did gates say of each release at every look, and by which figures, slice by slice and metric by metric?';

-- By which objectives does the worker judge, with what budget? Every start of a worker tells all of its objectives.
CREATE TABLE IF NOT EXISTS objectives (
    slo LowCardinality(String) COMMENT 'the service level objective',
    indicator String COMMENT 'the service level indicator',
    pool String COMMENT 'the serving pool that it is about',
    cut String COMMENT 'the cut of the slice',
    slice LowCardinality(String) COMMENT 'the widest slice that it is about, its pool',
    cuts String COMMENT 'names of the cuts that it watches, with blanks between them',
    objective Float64 COMMENT 'the share of good turns that is wanted' CODEC(ZSTD(1)),
    period_s UInt32 COMMENT 'length of the period in seconds',
    since DateTime64(3, 'UTC') COMMENT 'when the worker started, wall clock; the newest start of any worker counts' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'grows with every source record applied to this row; the largest wins' CODEC(T64, ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(since, 'UTC')
ORDER BY (slo, slice, since)
TTL toDateTime(since, 'UTC') + INTERVAL 3650 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'By which objectives does the worker judge, with what budget? Every start of a worker tells all of its objectives.';

-- How fast did each SLO spend its budget at its worst, hour by hour? Made of burn_windows as it lands.
CREATE TABLE IF NOT EXISTS burn_windows_1h (
    slo LowCardinality(String) COMMENT 'the service level objective',
    cut LowCardinality(String) COMMENT 'the dimensions that this row is grouped by',
    slice LowCardinality(String) COMMENT 'the row\'s slice, `dimension=value` pairs',
    pool LowCardinality(String) COMMENT 'serving pool: realtime turns or batch work; empty where the cut does not name it',
    region LowCardinality(String) COMMENT 'where the serving hosts stand; empty where the cut does not name it',
    route LowCardinality(String) COMMENT 'what the turn was for, as the gateway routes it; empty where the cut does not name it',
    bundle LowCardinality(String) COMMENT 'the release bundle (models, prompts, policies) that served the turn; empty where the cut does not name it',
    language LowCardinality(String) COMMENT 'spoken language, BCP 47; empty where the cut does not name it',
    device_class LowCardinality(String) COMMENT 'kind of device; empty where the cut does not name it',
    duplex_event LowCardinality(String) COMMENT 'kind of full-duplex event; empty where the cut does not name it',
    hour_start DateTime64(3, 'UTC') COMMENT 'start of the hour that the decisions lie in, event time' CODEC(Delta, ZSTD(1)),
    window_s UInt32 COMMENT 'length of the window in seconds',
    burn SimpleAggregateFunction(max, Float64) COMMENT 'the highest burn that was decided in the hour; read max(burn)' CODEC(ZSTD(1)),
    completeness SimpleAggregateFunction(min, Float64) COMMENT 'the least completeness that was decided on; read min(completeness)' CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toMonday(hour_start, 'UTC')
ORDER BY (slo, cut, hour_start, slice, window_s, pool, region, route, bundle, language, device_class, duplex_event)
TTL toDateTime(hour_start, 'UTC') + INTERVAL 95 DAY
SETTINGS ttl_only_drop_parts = 1, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1
COMMENT 'How fast did each SLO spend its budget at its worst, hour by hour? Made of burn_windows as it lands.';

CREATE MATERIALIZED VIEW IF NOT EXISTS burn_windows_to_1h TO burn_windows_1h
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT slo, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, toDateTime64(toStartOfHour(decided_at, 'UTC'), 3, 'UTC') AS hour_start, window_s, max(burn) AS burn, min(completeness) AS completeness
FROM burn_windows
GROUP BY slo, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, hour_start, window_s
COMMENT 'Carries rows of burn_windows into burn_windows_1h as they land.';

-- How much was served: turns, audio and tokens, slice by slice? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS traffic AS
SELECT cut, slice, pool, region, route, bundle, language, device_class, bucket_start,
    sum(turns) AS turns,
    sum(audio_in_ms) AS audio_in_ms,
    sum(audio_out_ms) AS audio_out_ms,
    sum(tokens_in) AS tokens_in,
    sum(tokens_out) AS tokens_out,
    sum(turn_latency_ms_sum) AS turn_latency_ms_sum,
    sum(turn_latency_ms_sumsq) AS turn_latency_ms_sumsq
FROM (
    SELECT cut, slice, pool, region, route, bundle, language, device_class, bucket_start, turns, audio_in_ms, audio_out_ms, tokens_in, tokens_out, turn_latency_ms_sum, turn_latency_ms_sumsq FROM traffic_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, language, device_class, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), turns, audio_in_ms, audio_out_ms, tokens_in, tokens_out, turn_latency_ms_sum, turn_latency_ms_sumsq FROM turns_late FINAL)
GROUP BY cut, slice, pool, region, route, bundle, language, device_class, bucket_start
COMMENT 'How much was served: turns, audio and tokens, slice by slice? Buckets of 1 min. Each row once, with what came late.';

-- How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS burn_rate AS
SELECT cut, slice, pool, region, route, bundle, language, device_class, duplex_event, indicator, bucket_start,
    sum(bad) AS bad,
    sum(total) AS total
FROM (
    SELECT cut, slice, pool, region, route, bundle, language, device_class, duplex_event, indicator, bucket_start, bad, total FROM burn_rate_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, language, device_class, '', counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM turns_late FINAL ARRAY JOIN [('first_partial_500ms', first_partial_500ms_bad, first_partial_500ms_total), ('first_audio_1800ms', first_audio_1800ms_bad, first_audio_1800ms_total), ('turn_4000ms', turn_4000ms_bad, turn_4000ms_total), ('queue_wait_250ms', queue_wait_250ms_bad, queue_wait_250ms_total), ('turn_error', turn_error_bad, turn_error_total), ('abandonment', abandonment_bad, abandonment_total), ('retrieval_stale', retrieval_stale_bad, retrieval_stale_total), ('privacy_error', privacy_error_bad, privacy_error_total)] AS counted WHERE counted.3 > 0
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, '', '', duplex_event, counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM duplex_late FINAL ARRAY JOIN [('interruption_success', interruption_success_bad, interruption_success_total), ('false_interruption', false_interruption_bad, false_interruption_total), ('backchannel_timing', backchannel_timing_bad, backchannel_timing_total), ('assistant_stop_300ms', assistant_stop_300ms_bad, assistant_stop_300ms_total), ('overlap_recovery_1500ms', overlap_recovery_1500ms_bad, overlap_recovery_1500ms_total), ('barge_in_latency_200ms', barge_in_latency_200ms_bad, barge_in_latency_200ms_total), ('micro_turn_freshness_400ms', micro_turn_freshness_400ms_bad, micro_turn_freshness_400ms_total), ('action_safety', action_safety_bad, action_safety_total), ('speech_continuity_60ms', speech_continuity_60ms_bad, speech_continuity_60ms_total)] AS counted WHERE counted.3 > 0)
GROUP BY cut, slice, pool, region, route, bundle, language, device_class, duplex_event, indicator, bucket_start
COMMENT 'How many turns, or full-duplex events, of each slice missed each objective, bucket by bucket? Buckets of 1 min. Each row once, with what came late.';

-- How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS concurrency AS
SELECT cut, slice, pool, region, route, bundle, bucket_start,
    sum(active_at_start) AS active_at_start,
    sum(starts) AS starts,
    sum(ends) AS ends,
    max(peak_lower) AS peak_lower,
    sum(peak_upper) AS peak_upper,
    max(replicas_needed) AS replicas_needed
FROM (
    SELECT cut, slice, pool, region, route, bundle, bucket_start, active_at_start, starts, ends, peak_lower, peak_upper, replicas_needed FROM concurrency_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), active, 0), started, ended, 0, active + started, 0
    FROM (
        SELECT cut, slice, pool, region, route, bundle, bucket_start, sum(active_at_start) AS active, sum(starts) AS started, sum(ends) AS ended
        FROM streams_late FINAL
        GROUP BY cut, slice, pool, region, route, bundle, bucket_start))
GROUP BY cut, slice, pool, region, route, bundle, bucket_start
COMMENT 'How many streams ran at once, what was their peak, and how many replicas does it take? Buckets of 1 min. Each row once, with what came late.';

-- Where did a turn's time go: the latency histogram of each stage? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS stage_latency AS
SELECT cut, slice, pool, region, route, bundle, stage, scale, bucket_index, bucket_start,
    sum(observations) AS observations,
    sum(latency_ms_sum) AS latency_ms_sum,
    sum(latency_ms_sumsq) AS latency_ms_sumsq
FROM (
    SELECT cut, slice, pool, region, route, bundle, stage, scale, bucket_index, bucket_start, observations, latency_ms_sum, latency_ms_sumsq FROM stage_latency_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, stage, scale, bucket_index, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), observations, latency_ms_sum, latency_ms_sumsq FROM stages_late FINAL)
GROUP BY cut, slice, pool, region, route, bundle, stage, scale, bucket_index, bucket_start
COMMENT 'Where did a turn\'s time go: the latency histogram of each stage? Buckets of 1 min. Each row once, with what came late.';

-- What did producers see, send, drop and hold? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS heartbeats AS
SELECT cut, slice, region, reported_family, bucket_start,
    sum(rows_sent) AS rows_sent,
    sum(observations_seen) AS observations_seen,
    sum(observations_dropped) AS observations_dropped,
    sum(observations_held) AS observations_held
FROM (
    SELECT cut, slice, region, reported_family, bucket_start, rows_sent, observations_seen, observations_dropped, observations_held FROM heartbeats_1m FINAL
    UNION ALL
    SELECT cut, slice, region, reported_family, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), rows_sent, observations_seen, observations_dropped, observations_held FROM heartbeats_late FINAL)
GROUP BY cut, slice, region, reported_family, bucket_start
COMMENT 'What did producers see, send, drop and hold? Buckets of 1 min. Each row once, with what came late.';

-- How many full-duplex events of each kind happened, slice by slice? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS duplex_events AS
SELECT cut, slice, pool, duplex_event, region, route, bundle, bucket_start,
    sum(events) AS events
FROM (
    SELECT cut, slice, pool, duplex_event, region, route, bundle, bucket_start, events FROM duplex_events_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, duplex_event, region, route, bundle, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), events FROM duplex_late FINAL)
GROUP BY cut, slice, pool, duplex_event, region, route, bundle, bucket_start
COMMENT 'How many full-duplex events of each kind happened, slice by slice? Buckets of 1 min. Each row once, with what came late.';

-- What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS outcomes AS
SELECT cut, slice, pool, region, route, bundle, client_version, connection, codec, bucket_start,
    sum(outcomes) AS outcomes,
    sum(successes) AS successes,
    sum(errors) AS errors,
    sum(abandonments) AS abandonments,
    sum(interruptions) AS interruptions,
    sum(handoffs) AS handoffs,
    sum(cancellations) AS cancellations,
    sum(refusals) AS refusals,
    sum(lookups) AS lookups,
    sum(lookups_stale) AS lookups_stale,
    sum(tool_calls) AS tool_calls,
    sum(tool_calls_unsafe) AS tool_calls_unsafe,
    sum(synthetic_voices) AS synthetic_voices,
    sum(retries) AS retries,
    sum(fallbacks) AS fallbacks,
    sum(shadows) AS shadows,
    sum(tokens_cached) AS tokens_cached,
    sum(tokens_audio) AS tokens_audio,
    sum(jitter_turns) AS jitter_turns,
    sum(jitter_ms_sum) AS jitter_ms_sum,
    sum(jitter_ms_sumsq) AS jitter_ms_sumsq,
    sum(chunks) AS chunks,
    sum(chunks_late) AS chunks_late
FROM (
    SELECT cut, slice, pool, region, route, bundle, client_version, connection, codec, bucket_start, outcomes, successes, errors, abandonments, interruptions, handoffs, cancellations, refusals, lookups, lookups_stale, tool_calls, tool_calls_unsafe, synthetic_voices, retries, fallbacks, shadows, tokens_cached, tokens_audio, jitter_turns, jitter_ms_sum, jitter_ms_sumsq, chunks, chunks_late FROM outcomes_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, client_version, connection, codec, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), outcomes, successes, errors, abandonments, interruptions, handoffs, cancellations, refusals, lookups, lookups_stale, tool_calls, tool_calls_unsafe, synthetic_voices, retries, fallbacks, shadows, tokens_cached, tokens_audio, jitter_turns, jitter_ms_sum, jitter_ms_sumsq, chunks, chunks_late FROM outcomes_late FINAL)
GROUP BY cut, slice, pool, region, route, bundle, client_version, connection, codec, bucket_start
COMMENT 'What became of turns: successes, handoffs, refusals, retries, and how audio arrived? Buckets of 1 min. Each row once, with what came late.';

-- What did tenants look up and call, and how many spoke with a synthetic voice? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS tenants AS
SELECT cut, slice, pool, tenant, bucket_start,
    sum(tenant_lookups) AS tenant_lookups,
    sum(tenant_lookups_stale) AS tenant_lookups_stale,
    sum(tenant_tool_calls) AS tenant_tool_calls,
    sum(tenant_tool_calls_unsafe) AS tenant_tool_calls_unsafe,
    sum(tenant_synthetic_voices) AS tenant_synthetic_voices,
    sum(tenant_handoffs) AS tenant_handoffs
FROM (
    SELECT cut, slice, pool, tenant, bucket_start, tenant_lookups, tenant_lookups_stale, tenant_tool_calls, tenant_tool_calls_unsafe, tenant_synthetic_voices, tenant_handoffs FROM tenants_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, tenant, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), tenant_lookups, tenant_lookups_stale, tenant_tool_calls, tenant_tool_calls_unsafe, tenant_synthetic_voices, tenant_handoffs FROM tenants_late FINAL)
GROUP BY cut, slice, pool, tenant, bucket_start
COMMENT 'What did tenants look up and call, and how many spoke with a synthetic voice? Buckets of 1 min. Each row once, with what came late.';

-- How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS queues AS
SELECT cut, slice, pool, region, bundle, queue, bucket_start,
    sum(depth) AS depth,
    sum(running) AS running,
    sum(servers) AS servers,
    sum(warm_streams) AS warm_streams,
    sum(depth_from) AS depth_from,
    sum(depth_to) AS depth_to,
    sum(arrivals) AS arrivals,
    sum(served) AS served,
    sum(batch_arrivals) AS batch_arrivals,
    sum(waited_ms_sum) AS waited_ms_sum,
    sum(busy_ms) AS busy_ms,
    sum(available_ms) AS available_ms,
    sum(batch_slots) AS batch_slots,
    sum(batch_slots_filled) AS batch_slots_filled,
    sum(kv_blocks) AS kv_blocks,
    sum(kv_blocks_used) AS kv_blocks_used,
    sum(preemptions) AS preemptions,
    sum(drafts_proposed) AS drafts_proposed,
    sum(drafts_accepted) AS drafts_accepted
FROM (
    SELECT cut, slice, pool, region, bundle, queue, bucket_start, depth, running, servers, warm_streams, depth_from, depth_to, arrivals, served, batch_arrivals, waited_ms_sum, busy_ms, available_ms, batch_slots, batch_slots_filled, kv_blocks, kv_blocks_used, preemptions, drafts_proposed, drafts_accepted FROM queues_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, region, bundle, queue, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, depth, 0), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, running, 0), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, servers, 0), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, warm_streams, 0), depth_from, depth_to, arrivals, served, batch_arrivals, waited_ms_sum, busy_ms, available_ms, batch_slots, batch_slots_filled, if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, kv_blocks, 0), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, kv_blocks_used, 0), preemptions, drafts_proposed, drafts_accepted FROM queues_late FINAL)
GROUP BY cut, slice, pool, region, bundle, queue, bucket_start
COMMENT 'How long is each queue, how fast is it served, and how full are batches and caches? Buckets of 1 min. Each row once, with what came late.';

-- How well were labelled calls understood and answered, slice by slice? Buckets of 1 h. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS quality AS
SELECT cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, bucket_start,
    sum(calls) AS calls,
    sum(words) AS words,
    sum(word_errors) AS word_errors,
    sum(words_sumsq) AS words_sumsq,
    sum(word_errors_sumsq) AS word_errors_sumsq,
    sum(word_errors_by_words) AS word_errors_by_words,
    sum(characters) AS characters,
    sum(character_errors) AS character_errors,
    sum(entities) AS entities,
    sum(entity_errors) AS entity_errors,
    sum(endpoints) AS endpoints,
    sum(endpoint_errors) AS endpoint_errors,
    sum(partials) AS partials,
    sum(partials_rewritten) AS partials_rewritten,
    sum(answers) AS answers,
    sum(answers_corrected) AS answers_corrected,
    sum(answers_ungrounded) AS answers_ungrounded,
    sum(citations) AS citations,
    sum(citations_stale) AS citations_stale,
    sum(lookups_aged) AS lookups_aged,
    sum(index_age_s_sum) AS index_age_s_sum
FROM (
    SELECT cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, bucket_start, calls, words, word_errors, words_sumsq, word_errors_sumsq, word_errors_by_words, characters, character_errors, entities, entity_errors, endpoints, endpoint_errors, partials, partials_rewritten, answers, answers_corrected, answers_ungrounded, citations, citations_stale, lookups_aged, index_age_s_sum FROM quality_1h FINAL
    UNION ALL
    SELECT cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, bucket_start, calls, words, word_errors, words_sumsq, word_errors_sumsq, word_errors_by_words, characters, character_errors, entities, entity_errors, endpoints, endpoint_errors, partials, partials_rewritten, answers, answers_corrected, answers_ungrounded, citations, citations_stale, lookups_aged, index_age_s_sum FROM quality_late FINAL)
GROUP BY cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, bucket_start
COMMENT 'How well were labelled calls understood and answered, slice by slice? Buckets of 1 h. Each row once, with what came late.';

-- What did turns and replicas use of what has a price, and what succeeded for it? Buckets of 10 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS costs AS
SELECT cut, slice, pool, route, bundle, region, model_version, gpu_type, purchase, tenant, bucket_start,
    sum(turns) AS turns,
    sum(successes) AS successes,
    sum(success_audio_ms) AS success_audio_ms,
    sum(attempts) AS attempts,
    sum(attempts_retried) AS attempts_retried,
    sum(attempts_fallback) AS attempts_fallback,
    sum(attempts_shadow) AS attempts_shadow,
    sum(tokens_prompt) AS tokens_prompt,
    sum(tokens_carried) AS tokens_carried,
    sum(tokens_retrieved) AS tokens_retrieved,
    sum(tokens_cached) AS tokens_cached,
    sum(tokens_out) AS tokens_out,
    sum(tokens_audio) AS tokens_audio,
    sum(chunks_retrieved) AS chunks_retrieved,
    sum(gpu_used_ms) AS gpu_used_ms,
    sum(gpu_used_ms_sumsq) AS gpu_used_ms_sumsq,
    sum(gpu_reserved_ms) AS gpu_reserved_ms
FROM (
    SELECT cut, slice, pool, route, bundle, region, model_version, gpu_type, purchase, tenant, bucket_start, turns, successes, success_audio_ms, attempts, attempts_retried, attempts_fallback, attempts_shadow, tokens_prompt, tokens_carried, tokens_retrieved, tokens_cached, tokens_out, tokens_audio, chunks_retrieved, gpu_used_ms, gpu_used_ms_sumsq, gpu_reserved_ms FROM costs_10m FINAL
    UNION ALL
    SELECT cut, slice, pool, route, bundle, region, model_version, gpu_type, purchase, tenant, bucket_start, turns, successes, success_audio_ms, attempts, attempts_retried, attempts_fallback, attempts_shadow, tokens_prompt, tokens_carried, tokens_retrieved, tokens_cached, tokens_out, tokens_audio, chunks_retrieved, gpu_used_ms, gpu_used_ms_sumsq, gpu_reserved_ms FROM costs_late FINAL)
GROUP BY cut, slice, pool, route, bundle, region, model_version, gpu_type, purchase, tenant, bucket_start
COMMENT 'What did turns and replicas use of what has a price, and what succeeded for it? Buckets of 10 min. Each row once, with what came late.';

-- How many hosts serve which artifact of which bundle, and since when? Buckets of 1 min. Each row once, with what came late.
CREATE VIEW IF NOT EXISTS deployments AS
SELECT cut, slice, pool, bundle, region, artifact, artifact_kind, bucket_start,
    sum(hosts) AS hosts,
    sum(deployments) AS deployments,
    sum(retirements) AS retirements
FROM (
    SELECT cut, slice, pool, bundle, region, artifact, artifact_kind, bucket_start, hosts, deployments, retirements FROM deployments_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, bundle, region, artifact, artifact_kind, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), if(bucket_start = toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC') + INTERVAL 50 SECOND, hosts, 0), deployments, retirements FROM releases_late FINAL)
GROUP BY cut, slice, pool, bundle, region, artifact, artifact_kind, bucket_start
COMMENT 'How many hosts serve which artifact of which bundle, and since when? Buckets of 1 min. Each row once, with what came late.';

-- What did the edge withhold, and for which reason? Buckets of 1 min. Each row once, with what came late. Of one cut, that by pool,region: rows add up as they are.
CREATE VIEW IF NOT EXISTS privacy AS
SELECT cut, slice, pool, region, reported_family, fate, because, bucket_start,
    sum(observations) AS observations
FROM (
    SELECT cut, slice, pool, region, reported_family, fate, because, bucket_start, observations FROM privacy_1m FINAL WHERE cut = 'pool,region'
    UNION ALL
    SELECT cut, slice, pool, region, reported_family, fate, because, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), observations FROM privacy_late FINAL WHERE cut = 'pool,region')
GROUP BY cut, slice, pool, region, reported_family, fate, because, bucket_start
COMMENT 'What did the edge withhold, and for which reason? Buckets of 1 min. Each row once, with what came late. Of one cut, that by pool,region: rows add up as they are.';

-- How long did each stage take, at its median and in its tail? Buckets of 1 min.
CREATE VIEW IF NOT EXISTS stage_quantiles AS
WITH quantilesExactWeighted(0.5, 0.95, 0.99)(if(bucket_index = -32768, 0., 2 * exp2(bucket_index * exp2(-scale)) * exp2((bucket_index + 1) * exp2(-scale)) / (exp2(bucket_index * exp2(-scale)) + exp2((bucket_index + 1) * exp2(-scale)))), observations) AS quantiles_ms
SELECT cut, slice, pool, region, route, bundle, stage, bucket_start,
    sum(observations) AS observed,
    sum(latency_ms_sum) / observed AS mean_ms,
    quantiles_ms[1] AS p50_ms,
    quantiles_ms[2] AS p95_ms,
    quantiles_ms[3] AS p99_ms
FROM stage_latency
WHERE observations > 0
GROUP BY cut, slice, pool, region, route, bundle, stage, bucket_start
COMMENT 'How long did each stage take, at its median and in its tail? Buckets of 1 min.';

-- What did each ten minutes cost, at the prices of their time, and what had none? In US dollars; what came later than its family takes is not in it.
CREATE VIEW IF NOT EXISTS spend AS
SELECT cut,
    slice,
    pool,
    route,
    bundle,
    region,
    model_version,
    gpu_type,
    purchase,
    tenant,
    bucket_start,
    turns,
    successes,
    success_audio_ms,
    CAST(used_nusd AS Decimal(38, 9)) / 1000000000 AS used_usd,
    CAST(reserved_nusd AS Decimal(38, 9)) / 1000000000 AS reserved_usd,
    uncosted_gpu_ms,
    uncosted_tokens
FROM spend_10m FINAL
COMMENT 'What did each ten minutes cost, at the prices of their time, and what had none? In US dollars; what came later than its family takes is not in it.';

-- Whose frames came after the family's lateness, and how many? What a lagging source partition made late is no producer's, and not here.
CREATE VIEW IF NOT EXISTS late_producers AS
SELECT family, producer,
    uniqExact(origin_topic, origin_partition, origin_offset) AS frames,
    min(bucket_start) AS oldest_bucket,
    max(bucket_start) AS newest_bucket
FROM (
    SELECT 'turns' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM turns_late FINAL
    UNION ALL
    SELECT 'stages' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM stages_late FINAL
    UNION ALL
    SELECT 'streams' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM streams_late FINAL
    UNION ALL
    SELECT 'heartbeats' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM heartbeats_late FINAL
    UNION ALL
    SELECT 'duplex' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM duplex_late FINAL
    UNION ALL
    SELECT 'outcomes' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM outcomes_late FINAL
    UNION ALL
    SELECT 'tenants' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM tenants_late FINAL
    UNION ALL
    SELECT 'queues' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM queues_late FINAL
    UNION ALL
    SELECT 'quality' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM quality_late FINAL
    UNION ALL
    SELECT 'costs' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM costs_late FINAL
    UNION ALL
    SELECT 'releases' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM releases_late FINAL
    UNION ALL
    SELECT 'privacy' AS family, producer, origin_topic, origin_partition, origin_offset, bucket_start FROM privacy_late FINAL)
WHERE producer != ''
GROUP BY family, producer
COMMENT 'Whose frames came after the family\'s lateness, and how many? What a lagging source partition made late is no producer\'s, and not here.';

-- What was left of each budget at the end of each day, as counted, and without what was excluded?
CREATE VIEW IF NOT EXISTS budgets AS
WITH
(SELECT max(bucket_start) + INTERVAL 1 MINUTE FROM burn_rate_1m) AS newest,
toDate(newest - INTERVAL 1 MINUTE, 'UTC') AS today,
(SELECT groupArray((slo, from_at, to_at, pairs, arrayMap(pair -> splitByChar('=', pair)[1], pairs)))
    FROM (
        SELECT id, any(exclusions.slo) AS slo, any(exclusions.from_at) AS from_at, any(exclusions.to_at) AS to_at,
            if(any(slice) = 'all', [], splitByChar(',', toString(any(slice)))) AS pairs
        FROM exclusions FINAL
        GROUP BY id
        HAVING argMax(action, version) = 'declared')) AS excluded,
[(['first_partial_500ms', 'first_audio_1800ms', 'turn_4000ms', 'queue_wait_250ms', 'turn_error', 'abandonment', 'retrieval_stale', 'privacy_error'], ['pool', 'pool,region', 'pool,route', 'pool,bundle', 'pool,region,bundle']), (['first_partial_500ms', 'first_audio_1800ms', 'turn_4000ms', 'queue_wait_250ms', 'turn_error', 'abandonment', 'retrieval_stale', 'privacy_error'], ['pool,language', 'pool,device_class', 'pool,language,device_class']), (['interruption_success', 'false_interruption', 'backchannel_timing', 'assistant_stop_300ms', 'overlap_recovery_1500ms', 'barge_in_latency_200ms', 'micro_turn_freshness_400ms', 'action_safety', 'speech_continuity_60ms'], ['pool', 'pool,duplex_event', 'pool,region', 'pool,route', 'pool,bundle'])] AS lattice,
judged AS (SELECT objectives.slo AS slo, objectives.objective AS objective, objectives.period_s AS period_s,
        splitByChar(' ', objectives.cuts) AS cuts, counted.*,
        splitByChar(',', toString(slice)) AS pairs, splitByChar(',', toString(cut)) AS names,
        arrayFilter(each -> each.1 IN ('all', slo) AND each.2 <= bucket_start AND bucket_start < each.3, excluded) AS met
    FROM (SELECT cut, slice, pool, indicator, begins AS bucket_start, bad, total
        FROM (SELECT cut, slice, pool, indicator, if(arrayExists(each -> bucket_start >= toStartOfHour(each.2, 'UTC') AND bucket_start < toStartOfHour(each.3, 'UTC') + INTERVAL 1 HOUR, excluded), bucket_start, toDateTime64(toStartOfHour(bucket_start, 'UTC'), 3, 'UTC')) AS begins, sum(bad) AS bad, sum(total) AS total
            FROM (SELECT cut, slice, pool, indicator, bucket_start, bad, total FROM burn_rate_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM turns_late FINAL ARRAY JOIN [('first_partial_500ms', first_partial_500ms_bad, first_partial_500ms_total), ('first_audio_1800ms', first_audio_1800ms_bad, first_audio_1800ms_total), ('turn_4000ms', turn_4000ms_bad, turn_4000ms_total), ('queue_wait_250ms', queue_wait_250ms_bad, queue_wait_250ms_total), ('turn_error', turn_error_bad, turn_error_total), ('abandonment', abandonment_bad, abandonment_total), ('retrieval_stale', retrieval_stale_bad, retrieval_stale_total), ('privacy_error', privacy_error_bad, privacy_error_total)] AS counted WHERE counted.3 > 0
    UNION ALL
    SELECT cut, slice, pool, counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM duplex_late FINAL ARRAY JOIN [('interruption_success', interruption_success_bad, interruption_success_total), ('false_interruption', false_interruption_bad, false_interruption_total), ('backchannel_timing', backchannel_timing_bad, backchannel_timing_total), ('assistant_stop_300ms', assistant_stop_300ms_bad, assistant_stop_300ms_total), ('overlap_recovery_1500ms', overlap_recovery_1500ms_bad, overlap_recovery_1500ms_total), ('barge_in_latency_200ms', barge_in_latency_200ms_bad, barge_in_latency_200ms_total), ('micro_turn_freshness_400ms', micro_turn_freshness_400ms_bad, micro_turn_freshness_400ms_total), ('action_safety', action_safety_bad, action_safety_total), ('speech_continuity_60ms', speech_continuity_60ms_bad, speech_continuity_60ms_total)] AS counted WHERE counted.3 > 0)
            GROUP BY cut, slice, pool, indicator, begins)) AS counted
    INNER JOIN (SELECT * FROM objectives FINAL WHERE since = (SELECT max(since) FROM objectives)) AS objectives
        ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool),
judged_minutes AS (SELECT objectives.slo AS slo, objectives.objective AS objective, objectives.period_s AS period_s,
        splitByChar(' ', objectives.cuts) AS cuts, counted.*,
        splitByChar(',', toString(slice)) AS pairs, splitByChar(',', toString(cut)) AS names,
        arrayFilter(each -> each.1 IN ('all', slo) AND each.2 <= bucket_start AND bucket_start < each.3, excluded) AS met
    FROM (SELECT cut, slice, pool, indicator, bucket_start, bad, total FROM burn_rate_1m FINAL
    UNION ALL
    SELECT cut, slice, pool, counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM turns_late FINAL ARRAY JOIN [('first_partial_500ms', first_partial_500ms_bad, first_partial_500ms_total), ('first_audio_1800ms', first_audio_1800ms_bad, first_audio_1800ms_total), ('turn_4000ms', turn_4000ms_bad, turn_4000ms_total), ('queue_wait_250ms', queue_wait_250ms_bad, queue_wait_250ms_total), ('turn_error', turn_error_bad, turn_error_total), ('abandonment', abandonment_bad, abandonment_total), ('retrieval_stale', retrieval_stale_bad, retrieval_stale_total), ('privacy_error', privacy_error_bad, privacy_error_total)] AS counted WHERE counted.3 > 0
    UNION ALL
    SELECT cut, slice, pool, counted.1, toDateTime64(toStartOfMinute(bucket_start, 'UTC'), 3, 'UTC'), counted.2, counted.3 FROM duplex_late FINAL ARRAY JOIN [('interruption_success', interruption_success_bad, interruption_success_total), ('false_interruption', false_interruption_bad, false_interruption_total), ('backchannel_timing', backchannel_timing_bad, backchannel_timing_total), ('assistant_stop_300ms', assistant_stop_300ms_bad, assistant_stop_300ms_total), ('overlap_recovery_1500ms', overlap_recovery_1500ms_bad, overlap_recovery_1500ms_total), ('barge_in_latency_200ms', barge_in_latency_200ms_bad, barge_in_latency_200ms_total), ('micro_turn_freshness_400ms', micro_turn_freshness_400ms_bad, micro_turn_freshness_400ms_total), ('action_safety', action_safety_bad, action_safety_total), ('speech_continuity_60ms', speech_continuity_60ms_bad, speech_continuity_60ms_total)] AS counted WHERE counted.3 > 0) AS counted
    INNER JOIN (SELECT * FROM objectives FINAL WHERE since = (SELECT max(since) FROM objectives)) AS objectives
        ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool),
watched AS (SELECT slo, cut, slice, objective, period_s, bucket_start, bad, total,
        arrayFilter(each -> NOT arrayExists(
            (pair, name) -> has(names, name) AND NOT has(pairs, pair), each.4, each.5), met) AS overlapping,
        arrayExists(each -> hasAll(pairs, each.4), overlapping) AS is_inside,
        arrayFirst(known -> hasAll(splitByChar(',', known), arrayConcat(names, arrayFlatten(overlapping.5))),
            arrayFirst(each -> has(each.1, indicator) AND has(each.2, cut), lattice).2) AS source
    FROM judged
    WHERE has(cuts, cut)),
parts AS (SELECT slo, bucket_start, cut AS source,
        arrayStringConcat(arrayMap(name -> arrayFirst(pair -> startsWith(pair, concat(name, '=')), pairs),
            splitByChar(',', coarser)), ',') AS whole,
        sum(bad) AS bad_there, sum(total) AS total_there,
        sumIf(bad, is_excluded) AS taken_bad, sumIf(total, is_excluded) AS taken_total
    FROM (SELECT *, arrayExists(each -> hasAll(pairs, each.4), met) AS is_excluded FROM judged_minutes
        WHERE bucket_start >= arrayMin(excluded.2) AND bucket_start < arrayMax(excluded.3) AND notEmpty(met))
    ARRAY JOIN arrayFilter(known -> known != cut AND hasAll(names, splitByChar(',', known)),
        arrayFirst(each -> has(each.1, indicator) AND has(each.2, cut), lattice).2) AS coarser
    GROUP BY slo, bucket_start, source, whole),
minutes AS (SELECT slo, cut, slice, objective, period_s, bucket_start, bad, total,
        notEmpty(overlapping) AND NOT is_inside AS is_partial,
        is_partial AND (source = '' OR parts.bad_there != bad OR parts.total_there != total) AS is_unknown,
        multiIf(is_inside, bad, is_partial AND NOT is_unknown, parts.taken_bad, 0) AS taken_bad,
        multiIf(is_inside, total, is_partial AND NOT is_unknown, parts.taken_total, 0) AS taken_total
    FROM watched
    LEFT JOIN parts ON parts.slo = watched.slo AND parts.whole = toString(watched.slice)
        AND parts.bucket_start = watched.bucket_start AND parts.source = watched.source),
spans AS (SELECT slo, cut, slice, objective, toDate(bucket_start, 'UTC') AS entered,
        toDate(toStartOfHour(bucket_start, 'UTC') + INTERVAL 1 HOUR + toIntervalSecond(period_s) - INTERVAL 1 SECOND, 'UTC') AS due, due + (due = today AND newest < toStartOfHour(bucket_start, 'UTC') + INTERVAL 1 HOUR + toIntervalSecond(period_s)) AS left_on,
        toInt64(sum(bad)) AS bad, toInt64(sum(total)) AS total, toInt64(sum(taken_bad)) AS taken_bad, toInt64(sum(taken_total)) AS taken_total, toInt64(sum(unknown)) AS unknown
    FROM (SELECT slo, cut, slice, objective, period_s, bucket_start, bad, total, taken_bad, taken_total, is_unknown AS unknown FROM minutes)
    GROUP BY slo, cut, slice, objective, entered, due, left_on),
moves AS (SELECT slo, cut, slice, objective, move.1 AS day, sum(move.2 * bad) AS bad_change, sum(move.2 * total) AS total_change, sum(move.2 * taken_bad) AS taken_bad_change, sum(move.2 * taken_total) AS taken_total_change, sum(move.2 * unknown) AS unknown_change,
        sumIf(bad, move.2 = 1) AS bad_of_day, sumIf(taken_bad, move.2 = 1) AS taken_of_day
    FROM spans
    ARRAY JOIN [(entered, 1), (left_on, -1), (today, 0)] AS move
    WHERE move.1 <= today
    GROUP BY slo, cut, slice, objective, day),
sums AS (SELECT slo, cut, slice, objective, day, bad_of_day, taken_of_day,
        sum(bad_change) OVER so_far AS bad,
        sum(total_change) OVER so_far AS total,
        sum(taken_bad_change) OVER so_far AS taken_bad,
        sum(taken_total_change) OVER so_far AS taken_total,
        sum(unknown_change) OVER so_far AS unknown
    FROM moves
    WINDOW so_far AS (PARTITION BY slo, cut, slice ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
SELECT slo, cut, slice, toLowCardinality(extract(toString(slice), '(?:^|,)pool=([^,]+)')) AS pool, toLowCardinality(extract(toString(slice), '(?:^|,)region=([^,]+)')) AS region, toLowCardinality(extract(toString(slice), '(?:^|,)route=([^,]+)')) AS route, toLowCardinality(extract(toString(slice), '(?:^|,)bundle=([^,]+)')) AS bundle, toLowCardinality(extract(toString(slice), '(?:^|,)language=([^,]+)')) AS language, toLowCardinality(extract(toString(slice), '(?:^|,)device_class=([^,]+)')) AS device_class, toLowCardinality(extract(toString(slice), '(?:^|,)duplex_event=([^,]+)')) AS duplex_event, day,
    least(newest, toDateTime64(day + 1, 3, 'UTC')) AS decided_at,
    objective, bad, total,
    if(total = 0, 1., 1 - bad / allowed) AS budget_left,
    if(total = 0, 0., bad_of_day / allowed) AS spent_today,
    if(total = 0, NULL, 1 / allowed) AS one_failure_costs,
    if(unknown > 0, NULL, taken_bad) AS excluded_bad,
    if(unknown > 0, NULL, taken_total) AS excluded_total,
    multiIf(unknown > 0, NULL, charged = 0, 1., 1 - (bad - taken_bad) / charged) AS corrected_budget_left,
    multiIf(unknown > 0, NULL, charged = 0, 0., (bad_of_day - taken_of_day) / charged) AS corrected_spent_today
FROM (SELECT *, total * (1 - objective) AS allowed, (total - taken_total) * (1 - objective) AS charged FROM sums)
COMMENT 'What was left of each budget at the end of each day, as counted, and without what was excluded?';

-- How many streams, audio seconds and tokens per second did each slice serve, and how much was warm beyond? Minutes.
CREATE VIEW IF NOT EXISTS capacity AS
SELECT cut, slice, region, pool, route, bundle, bucket_start,
    max(peak_lower) AS streams_peak_lower,
    max(peak_upper) AS streams_peak_upper,
    sum(audio_ms) / 60000 AS audio_seconds_per_s,
    sum(tokens) / 60 AS tokens_per_s,
    min(warm) AS warm_streams,
    argMin(stage, warm) AS warm_least_at,
    toInt64(min(warm)) - toInt64(max(peak_upper)) AS warm_headroom
FROM (
    SELECT cut, slice, region, pool, route, bundle, bucket_start, peak_lower, peak_upper, toUInt64(0) AS audio_ms, toUInt64(0) AS tokens,
        CAST(NULL, 'Nullable(UInt64)') AS warm, '' AS stage
    FROM concurrency
    UNION ALL
    SELECT cut, slice, region, pool, route, bundle, bucket_start, 0, 0, audio_in_ms + audio_out_ms, tokens_in + tokens_out, NULL, ''
    FROM traffic
    WHERE cut IN ('pool', 'pool,region', 'pool,route', 'pool,bundle', 'pool,region,bundle')
    UNION ALL
    SELECT cut, slice, region, pool, '', bundle, bucket_start, 0, 0, 0, 0, warm_streams, queue
    FROM queues
    WHERE warm_streams > 0)
GROUP BY cut, slice, region, pool, route, bundle, bucket_start
COMMENT 'How many streams, audio seconds and tokens per second did each slice serve, and how much was warm beyond? Minutes.';

-- What did a success cost each day, by pool, region and bundle, idle included? Routes share replicas: `turnwatch cost bill --by route` shares their cost out.
CREATE VIEW IF NOT EXISTS cost_per_success AS
SELECT day, pool, region, bundle, turns, successes,
    if(turns = 0, NULL, successes / turns) AS success_share,
    CAST(used_nusd AS Decimal(38, 9)) / 1000000000 AS used_usd,
    CAST(reserved_nusd AS Decimal(38, 9)) / 1000000000 AS reserved_usd,
    if(reserved_nusd = 0, NULL, 1 - used_nusd / reserved_nusd) AS idle_share,
    if(successes = 0, NULL, used_nusd / 1000000000 / successes) AS used_usd_per_success,
    if(successes = 0, NULL, reserved_nusd / 1000000000 / successes) AS usd_per_success,
    uncosted_gpu_ms / 3600000 AS uncosted_gpu_hours, uncosted_tokens
FROM (
    SELECT toDate(bucket_start, 'UTC') AS day, pool, region, bundle,
        sum(spend_10m.turns) AS turns, sum(spend_10m.successes) AS successes, sum(spend_10m.used_nusd) AS used_nusd, sum(spend_10m.reserved_nusd) AS reserved_nusd, sum(spend_10m.uncosted_gpu_ms) AS uncosted_gpu_ms, sum(spend_10m.uncosted_tokens) AS uncosted_tokens
    FROM spend_10m FINAL
    WHERE cut = 'region,pool,route,bundle,model_version,gpu_type,purchase'
    GROUP BY day, pool, region, bundle)
COMMENT 'What did a success cost each day, by pool, region and bundle, idle included? Routes share replicas: `turnwatch cost bill --by route` shares their cost out.';

-- How fast did each slice spend each budget, day by day? As counted: `budgets` knows what is excluded. Objectives whose budget is of minutes are not in it.
CREATE VIEW IF NOT EXISTS burn_by_day AS
SELECT slo, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, day, objective, bad, total,
    bad / total AS bad_share,
    bad / (total * (1 - objective)) AS burn,
    total * (1 - objective) AS allowed
FROM (
    SELECT objectives.slo AS slo, objectives.objective AS objective, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, day, bad, total
    FROM (
        SELECT indicator, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, toDate(bucket_start, 'UTC') AS day, sum(burn_rate.bad) AS bad, sum(burn_rate.total) AS total
        FROM burn_rate
        GROUP BY indicator, cut, slice, pool, region, route, bundle, language, device_class, duplex_event, day
        HAVING total > 0) AS counted
    INNER JOIN (SELECT * FROM objectives FINAL WHERE since = (SELECT max(since) FROM objectives)) AS objectives
        ON objectives.indicator = counted.indicator AND objectives.pool = counted.pool
    WHERE has(splitByChar(' ', objectives.cuts), toString(counted.cut)))
COMMENT 'How fast did each slice spend each budget, day by day? As counted: `budgets` knows what is excluded. Objectives whose budget is of minutes are not in it.';

-- How many streams ran at once at most, each day, and when?
CREATE VIEW IF NOT EXISTS peaks AS
SELECT cut, slice, pool, region, route, bundle, day, streams_peak_lower, streams_peak_upper, peak_at, replicas_needed_peak, started
FROM (
    SELECT cut, slice, pool, region, route, bundle, toDate(bucket_start, 'UTC') AS day,
        max(peak_lower) AS streams_peak_lower,
        max(peak_upper) AS streams_peak_upper,
        argMax(bucket_start, (peak_upper, -toUnixTimestamp64Milli(bucket_start))) AS peak_at,
        max(replicas_needed) AS replicas_needed_peak,
        sum(starts) AS started
    FROM concurrency
    GROUP BY cut, slice, pool, region, route, bundle, day)
COMMENT 'How many streams ran at once at most, each day, and when?';

-- What did gates say of each release at every look, and why? A row a verdict; `verdicts` has its figures.
CREATE VIEW IF NOT EXISTS release_verdicts AS
SELECT release, baseline, decision, reason, because, blockers, insufficient, way_back, way_back_because, policy, policy_version, from_at, to_at, who, at, at = max(at) OVER (PARTITION BY release) AS is_newest
FROM verdicts FINAL
WHERE metric = ''
COMMENT 'What did gates say of each release at every look, and why? A row a verdict; `verdicts` has its figures.';

-- Which figure of which slice drifted, from when to when, how far, and against what? A row a drift.
CREATE VIEW IF NOT EXISTS drift_reports AS
SELECT cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, connection, codec, measure, began, newest_hour, hours, is_open, value, reference_value,
    if(reference_value = 0, NULL, value / reference_value - 1) AS change, excess_max, evidence_max, samples, reference, reference_slice
FROM (
    SELECT cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, connection, codec, measure, assumeNotNull(since) AS began,
        max(bucket_start) AS newest_hour,
        count() AS hours,
        newest_hour = any(last_hour) AS is_open,
        argMax(value, bucket_start) AS value, argMax(reference_value, bucket_start) AS reference_value, argMax(reference, bucket_start) AS reference, argMax(reference_slice, bucket_start) AS reference_slice,
        max(excess) AS excess_max,
        max(evidence) AS evidence_max,
        sum(drift.samples) AS samples
    FROM (
        SELECT *, max(bucket_start) OVER (PARTITION BY measure, cut, slice) AS last_hour
        FROM drift_1h FINAL) AS drift
    WHERE state = 'drifted' AND since IS NOT NULL
    GROUP BY cut, slice, pool, region, route, bundle, language, accent, noise_class, tenant, device_class, client_version, connection, codec, measure, since)
COMMENT 'Which figure of which slice drifted, from when to when, how far, and against what? A row a drift.';
