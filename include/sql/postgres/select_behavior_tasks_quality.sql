-- One row on the rows of one day; shares are null on a day without rows, which no suite takes for a pass.
SELECT
    'public.behavior_tasks' AS table_name,
    count(*) AS rows,
    avg((user_id IS NULL)::int)::double precision AS null_user_share,
    count(*) FILTER (
        WHERE difficulty NOT BETWEEN 1 AND 5 OR (status = 'completed') <> (completed_at IS NOT NULL)
    ) AS contradictory
FROM public.behavior_tasks
WHERE created_at >= %(since)s AND created_at < %(until)s
