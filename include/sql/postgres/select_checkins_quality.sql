-- Counts of the rows of one day, in one row. Reads that day alone, by the index on created_at.
WITH newest AS (
    SELECT max(created_at) AS loaded_at FROM public.checkins
    WHERE created_at < %(until)s
)

SELECT
    'public.checkins' AS table_name,
    count(*) AS row_count,
    -- Accounts that were closed leave rows without a user.
    coalesce(avg((user_id IS NULL)::int), 0)::double precision AS null_user_share,
    count(*) FILTER (WHERE num_nulls(mood, mood_score, checkin_date) > 0) AS null_required,
    count(*) FILTER (WHERE mood::text NOT IN ('great', 'good', 'okay', 'low', 'bad')) AS unknown_mood,
    count(*) FILTER (WHERE mood_score NOT BETWEEN 1 AND 10) AS mood_score_out_of_range,
    count(*) FILTER (WHERE sleep_hours NOT BETWEEN 0 AND 24) AS sleep_hours_out_of_range,
    (extract(EPOCH FROM %(until)s - (SELECT newest.loaded_at FROM newest)) / 3600)::double precision AS newest_age_h
FROM public.checkins
WHERE created_at >= %(since)s AND created_at < %(until)s
