-- Counts of the rows of one day, in one row. Reads that day alone, by the index on detected_at.
WITH newest AS (
    SELECT max(detected_at) AS loaded_at FROM public.risk_signals
    WHERE detected_at < %(until)s
)

SELECT
    'public.risk_signals' AS table_name,
    count(*) AS row_count,
    -- Accounts that were closed leave rows without a user.
    coalesce(avg((signal.user_id IS NULL)::int), 0)::double precision AS null_user_share,
    count(*) FILTER (
        WHERE num_nulls(signal.id, signal.level, signal.category, signal.score) > 0
    ) AS null_required,
    count(*) FILTER (WHERE signal.level::text NOT IN ('low', 'medium', 'high', 'critical')) AS unknown_level,
    count(*) FILTER (
        WHERE signal.category NOT IN ('self_harm', 'depression', 'anxiety', 'insomnia', 'bullying')
    ) AS unknown_category,
    count(*) FILTER (WHERE signal.score NOT BETWEEN 0 AND 1) AS score_out_of_range,
    count(*) FILTER (
        WHERE signal.routed_at < signal.detected_at
        OR signal.escalated_at < coalesce(signal.routed_at, signal.detected_at)
    ) AS contradictory,
    coalesce(
        avg((checkin.id IS NULL)::int) FILTER (WHERE signal.checkin_id IS NOT NULL), 0
    )::double precision AS dangling_checkin_share,
    (extract(EPOCH FROM %(until)s - (SELECT newest.loaded_at FROM newest)) / 3600)::double precision AS newest_age_h
FROM public.risk_signals AS signal
LEFT JOIN public.checkins AS checkin ON signal.checkin_id = checkin.id
WHERE signal.detected_at >= %(since)s AND signal.detected_at < %(until)s
