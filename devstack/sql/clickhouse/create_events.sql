CREATE TABLE mindguard.events_loading (
    event_time DateTime64(3, 'UTC') COMMENT 'On the phone',
    ingest_time DateTime64(3, 'UTC') COMMENT 'Landed here; never before event_time',
    event_id UUID,
    event_name LowCardinality(String),
    user_id UInt64,
    session_id String,
    platform LowCardinality(String) COMMENT 'ios, android, devtools',
    app_version LowCardinality(String),
    sdk_version LowCardinality(String) COMMENT 'WeChat base library',
    device_model LowCardinality(String),
    network LowCardinality(String),
    country LowCardinality(String),
    province LowCardinality(String),
    properties String COMMENT 'JSON'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (event_name, event_time)
