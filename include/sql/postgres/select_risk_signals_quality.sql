-- One row with counts of one day's rows. Only that day is read, by the index on detected_at.
WITH newest AS (
    SELECT max(detected_at) AS loaded_at FROM public.risk_signals
    WHERE detected_at < %(until)s
),

counted AS (
    SELECT
        count(*) AS row_count,
        -- Accounts that were closed leave rows without a user.
        count(*) FILTER (WHERE signal.user_id IS NULL) AS null_users,
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
        count(signal.checkin_id) AS checkin_keys,
        count(*) FILTER (WHERE signal.checkin_id IS NOT NULL AND checkin.id IS NULL) AS dangling_checkins
    FROM public.risk_signals AS signal
    LEFT JOIN public.checkins AS checkin ON signal.checkin_id = checkin.id
    WHERE signal.detected_at >= %(since)s AND signal.detected_at < %(until)s
),

-- Shares of k in n rows. The share of a few rows is easily high by chance, so suites judge its lower bound: that of the
-- Wilson score interval, one-sided with a confidence of 99 percent (z = 2.3263, z^2 = 5.4119), with a correction for
-- continuity, without which one bad row of one would be enough. The formula holds for k > 0. It is from R. G. Newcombe,
-- "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), 857-872, method 4.
shares AS (
    SELECT
        share.name,
        coalesce(share.k::double precision / nullif(share.n, 0), 0) AS measured,
        CASE
            WHEN share.k = 0 THEN 0
            ELSE (
                2 * share.k + 5.4119 - 1
                - 2.3263 * sqrt(5.4119 - 2 - 1.0 / share.n + 4.0 * share.k * (share.n - share.k + 1) / share.n)
            ) / (2 * (share.n + 5.4119))
        END::double precision AS at_least
    FROM
        counted,
        LATERAL (
            VALUES
            ('null_user', counted.null_users, counted.row_count),
            ('dangling', counted.dangling_checkins, counted.checkin_keys)
        ) AS share (name, k, n)
)

SELECT
    'public.risk_signals' AS table_name,
    counted.*,
    null_user.measured AS null_user_share,
    null_user.at_least AS null_user_share_at_least,
    dangling.measured AS dangling_checkin_share,
    dangling.at_least AS dangling_checkin_share_at_least,
    (extract(EPOCH FROM %(until)s - (SELECT newest.loaded_at FROM newest)) / 3600)::double precision AS newest_age_h
FROM counted
INNER JOIN shares AS null_user ON null_user.name = 'null_user'
INNER JOIN shares AS dangling ON dangling.name = 'dangling'
