CREATE TABLE IF NOT EXISTS mindguard.user_mood_daily (
    day Date,
    user_id UInt64,
    checkins UInt32,
    loaded_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY (day, user_id)
