WITH run AS (
    INSERT INTO public.weekly_report_runs (iso_week, finished_at)
    VALUES (%(iso_week)s, now())
    ON CONFLICT DO NOTHING
)

INSERT INTO public.weekly_reports (iso_week, user_id, checkins, mood_score)
SELECT
    %(iso_week)s,
    user_id,
    count(*) AS checkins,
    avg(mood_score) AS mood_score
FROM public.checkins
WHERE user_id IS NOT NULL AND checkin_date >= %(period_start)s::date AND checkin_date < %(period_end)s::date
GROUP BY user_id
ON CONFLICT DO NOTHING;
