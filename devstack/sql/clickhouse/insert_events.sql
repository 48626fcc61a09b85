-- One session is twelve events: its steps in the funnels, and API requests where a step was not taken.
-- counts: sessions of each hour from since on; session: the number of the first of them. Randomness is a hash of the
-- session's number and the seed. events: rows of the first sessions; what follows has no limit.
INSERT INTO mindguard.{table:Identifier}
WITH
    {seed:UInt64} AS seed,
    (n, salt) -> sipHash64(n, salt, seed) / 18446744073709551616. AS unit
SELECT
    fromUnixTimestamp64Milli(time_ms, 'UTC') AS event_time,
    -- Most events land within seconds; some land minutes later, and a few phones were offline for hours.
    fromUnixTimestamp64Milli(
        time_ms + toInt64(
            400 - 2500 * log(1 - unit(row, 1))
            + if(unit(row, 2) < 0.01, 600000 * unit(row, 3), 0)
            + if(unit(row, 2) < 0.0005, 14400000 * unit(row, 4), 0)
        ),
        'UTC'
    ) AS ingest_time,
    reinterpretAsUUID(sipHash128(row, seed)) AS event_id,
    multiIf(
        step = 0, 'session_start',
        step = 1, 'app_open',
        step = 2 AND checkin < 0.45, 'checkin_start',
        step = 3 AND checkin < 0.36, 'checkin_submit',
        step = 4 AND task < 0.40, 'task_view',
        step = 5 AND task < 0.24, 'task_start',
        step = 6 AND task < 0.16, 'task_complete',
        step = 7 AND checkin < 0.36 AND risk < 0.12, 'risk_signal_detected',
        step = 8 AND checkin < 0.36 AND risk < 0.09, 'risk_signal_escalate',
        step = 9 AND view < 0.003, 'sos_click',
        step = 9 AND view < if(weekday = 1, 0.25, 0.03), 'weekly_report_view',
        step = 10 AND crash < if(app_version = {versions:Array(String)}[-1], 0.003, 0.002), 'crash',
        'api_request'
    ) AS event_name,
    user_id,
    session_id,
    platform,
    app_version,
    sdk_version,
    device_model,
    network,
    country,
    province,
    multiIf(
        event_name = 'api_request', concat(
            '{"path":"/api/v1/', ['behavior_tasks', 'risk_signals', 'user_profile', 'checkins', 'suggestions'][1 + toUInt32(5 * unit(row, 5))],
            '","status":', if(unit(row, 6) < 0.002, ['500', '502', '504'][1 + toUInt32(3 * unit(row, 7))], '200'),
            ',"custom_error":', if(unit(row, 8) < 0.001, 'true', 'false'),
            ',"duration_ms":', toString(toUInt32(40 - 90 * log(1 - unit(row, 9)))), '}'
        ),
        event_name = 'risk_signal_escalate',
        concat('{"response_latency_s":', toString(round(20 - 70 * log(1 - 0.95 * unit(row, 5)), 1)), ',"channel":"counsellor"}'),
        event_name = 'risk_signal_detected', concat('{"level":"', ['medium', 'high', 'critical'][1 + toUInt32(3 * pow(unit(row, 5), 2))], '"}'),
        event_name = 'checkin_submit', concat('{"mood_score":', toString(1 + toUInt32(10 * unit(row, 5))), ',"note":"今天还可以🙂"}'),
        event_name = 'crash', concat('{"message":"TypeError: Cannot read property \'', ['mood', 'list', 'data'][1 + toUInt32(3 * unit(row, 5))], '\'"}'),
        '{}'
    ) AS properties
FROM (
    SELECT
        *,
        step,
        session * 12 + step AS row,
        start_ms + step * 4000 + toInt64(4000 * unit(row, 10)) AS time_ms
    FROM (
        SELECT
            {session:UInt64} + (slot.2).1 + offset AS session,
            toInt64(1000 * ({since:UInt32} + 3600 * (slot.1 - 1) + {slot_s:Float64} * (offset + unit(session, 11)) / (slot.2).2)) AS start_ms,
            toDayOfWeek(toDateTime(start_ms / 1000, 'Asia/Shanghai')) AS weekday,
            1 + toUInt64({users:UInt64} * pow(unit(session, 12), 3)) AS user_id,
            lower(hex(sipHash64(session, 13, seed))) AS session_id,
            unit(session, 14) AS checkin,
            unit(session, 15) AS task,
            unit(session, 16) AS risk,
            unit(session, 17) AS view,
            unit(session, 18) AS crash,
            multiIf(unit(user_id, 19) < 0.37, 'ios', unit(user_id, 19) < 0.985, 'android', 'devtools') AS platform,
            -- A user moves to a release some days after it, and never back.
            {versions:Array(String)}[1 + arrayCount(
                (released, number) -> start_ms / 1000 > released - 216000 * log(1 - unit(user_id, 20 + number)),
                {releases:Array(UInt32)},
                arrayEnumerate({releases:Array(UInt32)})
            )] AS app_version,
            ['3.5.8', '3.6.4', '3.7.1'][1 + toUInt32(3 * unit(user_id, 31))] AS sdk_version,
            multiIf(
                platform = 'ios', ['iPhone 13', 'iPhone 15', 'iPhone 16 Pro'][1 + toUInt32(3 * unit(user_id, 32))],
                platform = 'android', ['HUAWEI Mate 60', 'Xiaomi 14', 'OPPO Reno 12', 'vivo X100', 'HONOR 90'][1 + toUInt32(5 * unit(user_id, 32))],
                'devtools'
            ) AS device_model,
            ['wifi', '5g', '4g', 'unknown'][1 + toUInt32(4 * pow(unit(session, 33), 1.6))] AS network,
            if(unit(user_id, 34) < 0.97, 'CN', ['SG', 'US', 'MY', 'JP'][1 + toUInt32(4 * unit(user_id, 35))]) AS country,
            if(
                country = 'CN',
                ['广东', '江苏', '浙江', '北京', '上海', '四川', '山东', '河南', '湖北', '福建', '湖南', '陕西', '重庆', '辽宁', '云南', '新疆'][
                    1 + toUInt32(16 * pow(unit(user_id, 36), 1.7))
                ],
                ''
            ) AS province
        FROM (
            SELECT arrayJoin(arrayZip(arrayEnumerate(counts), arrayZip(arrayMap((total, own) -> total - own, arrayCumSum(counts), counts), counts))) AS slot
            FROM (SELECT {counts:Array(UInt64)} AS counts)
        )
        ARRAY JOIN range((slot.2).2) AS offset
    )
    ARRAY JOIN range(12) AS step
    WHERE session * 12 + step < {events:UInt64} OR session >= {sessions:UInt64}
)
WHERE toUnixTimestamp64Milli(ingest_time) > {landed_after:Int64} AND toUnixTimestamp64Milli(ingest_time) <= {landed_until:Int64}
