-- Slots as in insert_checkins.sql. The key is a UUID of version 7: it rises with the time.
INSERT INTO public.risk_signals (
    id, user_id, checkin_id, level, category, score, keywords, excerpt, evidence, detected_at, routed_at,
    escalated_at, handled_by
)
SELECT
    (
        lpad(to_hex((extract(EPOCH FROM detected_at) * 1000)::bigint), 12, '0')
        || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15)
    )::uuid AS id,
    CASE
        WHEN devstack.unit(n, salt + 201) < 0.97
            THEN 1 + floor(%(users)s * power(devstack.unit(n, salt + 202), 3))::bigint
    END AS user_id,
    CASE
        WHEN devstack.unit(n, salt + 203) < 0.8
            THEN greatest(1, (n * %(checkins_per_signal)s)::bigint - floor(50 * devstack.unit(n, salt + 204))::bigint)
    END AS checkin_id,
    (enum_range(NULL::public.risk_level))[1 + floor(4 * severity)::int] AS level,
    (ARRAY['self_harm', 'depression', 'anxiety', 'insomnia', 'bullying'])[
        1 + floor(5 * devstack.unit(n, salt + 205))::int
    ]
        AS category,
    round(severity::numeric, 4) AS score,
    (ARRAY['{撑不下去}', '{失眠,心慌}', '{没有意义}', NULL, '{被孤立,害怕上学}'])[
        1 + floor(5 * devstack.unit(n, salt + 206))::int
    ]::text[] AS keywords,
    CASE
        WHEN devstack.unit(n, salt + 207) < 0.9
            THEN (ARRAY['最近总觉得活着没有意义', '晚上心慌到睡不着😣', '他们又在群里笑我', '不想再坚持了……'])[
                1 + floor(4 * devstack.unit(n, salt + 208))::int
            ]
    END AS excerpt,
    jsonb_build_object(
        'model', 'risk-v3', 'source', 'note', 'confidence', round(devstack.unit(n, salt + 209)::numeric, 3)
    )
        AS evidence,
    detected_at,
    routed_at,
    CASE
        WHEN severity >= 0.5 THEN routed_at + (30 + 240 * devstack.unit(n, salt + 210)) * interval '1 second'
    END AS escalated_at,
    CASE WHEN severity >= 0.5 THEN (ARRAY['王老师', '李医生', '夜间值守'])[1 + floor(3 * devstack.unit(n, salt + 211))::int] END
        AS handled_by
FROM (
    SELECT
        *,
        CASE
            -- Some old signals were never routed; a recent one that waits would be an emergency.
            WHEN devstack.unit(n, salt + 212) < 0.995 OR detected_at > newest - interval '14 days'
                THEN detected_at + (2 + 58 * power(devstack.unit(n, salt + 213), 4)) * interval '1 second'
        END AS routed_at
    FROM (
        SELECT
            n,
            salt,
            newest,
            md5(n::text || ':' || salt::text) AS digest,
            power(devstack.unit(n, salt + 214), 2) AS severity,
            date_trunc(
                'milliseconds', starts_at + (n - first + devstack.unit(n, salt + 215)) / rows * %(slot_s)s
                * interval '1 second'
            ) AS detected_at
        FROM
            unnest(%(starts)s::timestamptz[], %(firsts)s::bigint[], %(counts)s::bigint[])
                AS slot (starts_at, first, rows),
            generate_series(first, first + rows - 1) AS n,
            (
                SELECT
                    %(seed)s::bigint * 1000 AS salt,
                    (SELECT max(starting) FROM unnest(%(starts)s::timestamptz[]) AS starting) AS newest
            ) AS seeded
    ) AS timed
) AS drawn;
