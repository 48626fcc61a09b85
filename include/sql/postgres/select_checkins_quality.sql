-- One row on the rows of one day; shares are null on a day without rows, which no suite takes for a pass.
SELECT
    'public.checkins' AS table_name,
    count(*) AS rows,
    avg((user_id IS NULL)::int)::double precision AS null_user_share,
    count(*) FILTER (
        WHERE mood_score NOT BETWEEN 1 AND 10 OR sleep_hours NOT BETWEEN 0 AND 24
    ) AS out_of_range
FROM public.checkins
WHERE created_at >= %(since)s AND created_at < %(until)s
