-- %(starts)s, %(firsts)s, %(counts)s: time slots of %(slot_s)s seconds, the first row number and the rows of each.
INSERT INTO public.checkins (
    id, user_id, mood, mood_score, sleep_hours, emotions, note, answers, checkin_date, created_at, updated_at
)
OVERRIDING SYSTEM VALUE
SELECT
    n AS id,
    -- A few accounts were erased; among the rest, early and eager users write most.
    CASE
        WHEN devstack.unit(n, salt + 1) < 0.99
            THEN 1 + floor(%(users)s * power(devstack.unit(n, salt + 2), 3))::bigint
    END AS user_id,
    (enum_range(NULL::public.mood))[1 + floor(5 * power(mood, 1.2))::int] AS mood,
    10 - floor(10 * power(mood, 1.2))::smallint AS mood_score,
    CASE
        WHEN devstack.unit(n, salt + 3) < 0.9
            THEN round((4 + 5.5 * devstack.unit(n, salt + 4))::numeric, 2)
    END AS sleep_hours,
    (ARRAY['{平静}', '{焦虑,疲惫}', '{开心,感恩}', '{孤独}', '{}', '{"压力大","睡不着"}', '{期待}', '{烦躁,NULL}'])[
        1 + floor(8 * devstack.unit(n, salt + 5))::int
    ]::text[] AS emotions,
    CASE
        WHEN devstack.unit(n, salt + 6) < 0.005 THEN ''
        WHEN devstack.unit(n, salt + 6) < 0.010
            THEN repeat('这周一直睡不好，白天没有精神，晚上又反复想同一件事。', 20)
        WHEN devstack.unit(n, salt + 6) < 0.550
            THEN
                (ARRAY['今天', '昨晚', '早上起来', '下班路上', '课间', '和朋友聊完之后'])[
                    1 + floor(6 * devstack.unit(n, salt + 7))::int
                ]
                || (ARRAY[
                    '感觉还不错🙂', '有点累，什么都不想做', '心跳很快，怕考试考砸', '散步半小时，心情好多了🌿',
                    E'和家人吵架了：\n"你总是这样"', '睡了 7 个小时，精神可以', '一个人待着，有点孤单🌧️', '说不上来\怪怪的'
                ])[1 + floor(8 * devstack.unit(n, salt + 8))::int]
    END AS note,
    jsonb_build_object(
        'phq2', floor(7 * power(devstack.unit(n, salt + 9), 2))::int,
        'gad2', floor(7 * power(devstack.unit(n, salt + 10), 2))::int,
        'device', jsonb_build_object(
            'platform', CASE WHEN devstack.unit(n, salt + 11) < 0.4 THEN 'ios' ELSE 'android' END,
            'night_mode', devstack.unit(n, salt + 12) < 0.2
        )
    ) AS answers,
    (created_at AT TIME ZONE 'Asia/Shanghai')::date AS checkin_date,
    created_at,
    CASE
        WHEN devstack.unit(n, salt + 13) < 0.05
            THEN created_at + devstack.unit(n, salt + 14) * interval '30 minutes'
    END AS updated_at
FROM (
    SELECT
        n,
        salt,
        devstack.unit(n, salt + 15) AS mood,
        -- A few were written offline and arrive after later ones.
        date_trunc('milliseconds', starts_at + (
            (n - first + devstack.unit(n, salt + 16)) / rows * %(slot_s)s
            - CASE WHEN devstack.unit(n, salt + 17) < 0.02 THEN 3600 * devstack.unit(n, salt + 18) ELSE 0 END
        )
        * interval '1 second') AS created_at
    FROM
        unnest(%(starts)s::timestamptz[], %(firsts)s::bigint[], %(counts)s::bigint[]) AS slot (starts_at, first, rows),
        generate_series(first, first + rows - 1) AS n,
        (SELECT %(seed)s::bigint * 1000 AS salt) AS seeded
) AS drawn;
