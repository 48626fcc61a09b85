-- Slots as in insert_checkins.sql.
INSERT INTO public.behavior_tasks (
    id, user_id, checkin_id, title, category, status, difficulty, reward_points, steps, tags, due_on,
    started_at, completed_at, feedback, created_at
)
SELECT
    n AS id,
    CASE
        WHEN devstack.unit(n, salt + 101) < 0.99
            THEN 1 + floor(%(users)s * power(devstack.unit(n, salt + 102), 3))::bigint
    END AS user_id,
    CASE
        WHEN devstack.unit(n, salt + 103) < 0.7
            THEN greatest(1, (n * %(checkins_per_task)s)::bigint - floor(50 * devstack.unit(n, salt + 104))::bigint)
    END AS checkin_id,
    (ARRAY[
        '4-7-8 呼吸练习', '写下三件值得感谢的事🙏', '户外散步 20 分钟', '睡前一小时不看手机', '给朋友发一条消息',
        '身体扫描冥想', '整理书桌', '记录一次"自动思维"', '听一首喜欢的歌🎵', '按时吃早餐'
    ])[kind] AS title,
    (
        ARRAY[
            'breathing',
            'gratitude',
            'activity',
            'sleep',
            'social',
            'mindfulness',
            'activity',
            'cognitive',
            'leisure',
            'routine'
        ]
    )[kind]
        AS category,
    status,
    1 + floor(5 * power(devstack.unit(n, salt + 105), 2))::smallint AS difficulty,
    round((devstack.unit(n, salt + 106) * 50)::numeric, 2) AS reward_points,
    CASE
        WHEN devstack.unit(n, salt + 107) < 0.8
            THEN jsonb_build_array(
                jsonb_build_object('do', '准备', 'minutes', 2),
                jsonb_build_object('do', '开始', 'minutes', 5 + floor(25 * devstack.unit(n, salt + 108))::int)
            )
    END AS steps,
    (ARRAY['{早晨}', '{晚间,放松}', NULL, '{户外}', '{}'])[1 + floor(5 * devstack.unit(n, salt + 109))::int]::text[] AS tags,
    CASE
        WHEN devstack.unit(n, salt + 110) < 0.85
            THEN (created_at AT TIME ZONE 'Asia/Shanghai')::date + floor(7 * devstack.unit(n, salt + 111))::int
    END AS due_on,
    CASE WHEN status IN ('started', 'completed') THEN created_at + wait END AS started_at,
    CASE WHEN status = 'completed' THEN created_at + 2 * wait + interval '3 minutes' END AS completed_at,
    CASE
        WHEN status = 'completed' AND devstack.unit(n, salt + 112) < 0.3
            THEN (ARRAY['有帮助👍', '一般', '太难了，下次换简单点', '坚持第 7 天！'])[1 + floor(4 * devstack.unit(n, salt + 113))::int]
    END AS feedback,
    created_at
FROM (
    SELECT
        n,
        salt,
        1 + floor(10 * devstack.unit(n, salt + 114))::int AS kind,
        (ARRAY['assigned', 'started', 'completed', 'completed', 'completed', 'skipped', 'expired'])[
            1 + floor(7 * devstack.unit(n, salt + 115))::int
        ]::public.task_status AS status,
        power(devstack.unit(n, salt + 116), 3) * interval '12 hours' AS wait,
        date_trunc(
            'milliseconds', starts_at + (n - first + devstack.unit(n, salt + 117)) / rows * %(slot_s)s
            * interval '1 second'
        ) AS created_at
    FROM
        unnest(%(starts)s::timestamptz[], %(firsts)s::bigint[], %(counts)s::bigint[]) AS slot (starts_at, first, rows),
        generate_series(first, first + rows - 1) AS n,
        (SELECT %(seed)s::bigint * 1000 AS salt) AS seeded
) AS drawn;
