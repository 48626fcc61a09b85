-- Counts of events. The table stays small: more traffic raises the counts, not the number of rows.
-- `mindguard volume install` runs this.
CREATE TABLE IF NOT EXISTS {rollup} (
    event_name LowCardinality(String),
    slot DateTime('UTC') COMMENT 'Start of five minutes of event time',
    known_after_s UInt32 COMMENT 'Seconds after slot by which these events had landed; a bucket''s upper end',
    {columns},
    events SimpleAggregateFunction(sum, UInt64),
    misdated SimpleAggregateFunction(sum, UInt64) COMMENT 'Of these, events whose clock was not believed'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(slot)
ORDER BY (event_name, slot, known_after_s, {dimensions})
