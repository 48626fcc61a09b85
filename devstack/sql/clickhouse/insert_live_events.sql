-- Sessions of the present, per_minute of them between two seconds; each event lands a second or so after it happened.
-- crashes, failures: shares; path: the endpoint that fails; latency_s: mean time to answer a risk signal.
INSERT INTO mindguard.events
WITH (n, salt) -> sipHash64(n, salt, {seed:UInt64}) / 18446744073709551616. AS unit
SELECT
    fromUnixTimestamp64Milli(landed_ms - 200 - toInt64(2000 * unit(row, 1)), 'UTC') AS event_time,
    fromUnixTimestamp64Milli(landed_ms, 'UTC') AS ingest_time,
    reinterpretAsUUID(sipHash128(row, {seed:UInt64}, 'live')) AS event_id,
    multiIf(
        step = 0, 'session_start',
        step = 1 AND unit(session, 2) < {crashes:Float64}, 'crash',
        step = 2 AND unit(session, 3) < 0.05, 'risk_signal_escalate',
        step = 3 AND unit(session, 4) < 0.3, 'checkin_submit',
        'api_request'
    ) AS event_name,
    1 + toUInt64(5000 * unit(session, 5)) AS user_id,
    lower(hex(sipHash64(session, 6, {seed:UInt64}))) AS session_id,
    if(unit(user_id, 7) < 0.4, 'ios', 'android') AS platform,
    '2.6.0' AS app_version,
    '3.7.1' AS sdk_version,
    if(platform = 'ios', 'iPhone 15', 'Xiaomi 14') AS device_model,
    'wifi' AS network,
    'CN' AS country,
    '广东' AS province,
    multiIf(
        event_name = 'api_request', concat(
            '{"path":"', requested, '","status":', if(requested = {path:String} AND unit(row, 8) < {failures:Float64}, '502', '200'),
            ',"custom_error":false,"duration_ms":', toString(toUInt32(40 - 90 * log(1 - unit(row, 9)))), '}'
        ),
        event_name = 'risk_signal_escalate',
        concat('{"response_latency_s":', toString(round({latency_s:Float64} * (0.5 + unit(row, 10)), 1)), ',"channel":"counsellor"}'),
        '{}'
    ) AS properties
FROM (
    SELECT
        number AS session,
        step,
        number * 12 + step AS row,
        1000 * toInt64({since:UInt32}) + toInt64(60000 * number / {per_minute:UInt32}) + step AS landed_ms,
        concat('/api/v1/', ['behavior_tasks', 'risk_signals', 'user_profile', 'checkins', 'suggestions'][1 + toUInt32(5 * unit(row, 11))]) AS requested
    FROM numbers(toUInt64(({until:UInt32} - {since:UInt32}) * {per_minute:UInt32} / 60))
    ARRAY JOIN range(12) AS step
)
