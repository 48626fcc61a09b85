-- One row on the rows of one day; shares are null on a day without rows, which no suite takes for a pass.
SELECT
    'public.risk_signals' AS table_name,
    count(*) AS rows,
    avg((user_id IS NULL)::int)::double precision AS null_user_share,
    count(*) FILTER (
        WHERE score NOT BETWEEN 0 AND 1 OR routed_at < detected_at OR escalated_at < routed_at
    ) AS contradictory
FROM public.risk_signals
WHERE detected_at >= %(since)s AND detected_at < %(until)s
