-- Counts of the rows of one day, in one row. Reads that day alone, by the index on created_at.
WITH newest AS (
    SELECT max(created_at) AS loaded_at FROM public.behavior_tasks
    WHERE created_at < %(until)s
)

SELECT
    'public.behavior_tasks' AS table_name,
    count(*) AS row_count,
    -- Accounts that were closed leave rows without a user.
    coalesce(avg((task.user_id IS NULL)::int), 0)::double precision AS null_user_share,
    count(*) FILTER (WHERE num_nulls(task.title, task.category, task.status) > 0) AS null_required,
    count(*) FILTER (
        WHERE task.status::text NOT IN ('assigned', 'started', 'completed', 'skipped', 'expired')
    ) AS unknown_status,
    count(*) FILTER (
        WHERE task.category NOT IN (
            'activity', 'breathing', 'cognitive', 'gratitude', 'leisure', 'mindfulness', 'routine', 'sleep', 'social'
        )
    ) AS unknown_category,
    count(*) FILTER (WHERE task.difficulty NOT BETWEEN 1 AND 5) AS difficulty_out_of_range,
    count(*) FILTER (WHERE task.reward_points NOT BETWEEN 0 AND 1000) AS reward_points_out_of_range,
    count(*) FILTER (
        WHERE (task.status::text = 'completed') <> (task.completed_at IS NOT NULL)
        OR task.completed_at < task.created_at
    ) AS contradictory,
    coalesce(
        avg((checkin.id IS NULL)::int) FILTER (WHERE task.checkin_id IS NOT NULL), 0
    )::double precision AS dangling_checkin_share,
    (extract(EPOCH FROM %(until)s - (SELECT newest.loaded_at FROM newest)) / 3600)::double precision AS newest_age_h
FROM public.behavior_tasks AS task
LEFT JOIN public.checkins AS checkin ON task.checkin_id = checkin.id
WHERE task.created_at >= %(since)s AND task.created_at < %(until)s
