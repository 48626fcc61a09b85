-- One row with counts of one day's rows. Only that day is read, by the index on created_at.
WITH newest AS (
    SELECT max(created_at) AS loaded_at FROM public.checkins
    WHERE created_at < %(until)s
),

counted AS (
    SELECT
        count(*) AS row_count,
        -- Accounts that were closed leave rows without a user.
        count(*) FILTER (WHERE user_id IS NULL) AS null_users,
        count(*) FILTER (WHERE num_nulls(mood, mood_score, checkin_date) > 0) AS null_required,
        count(*) FILTER (WHERE mood::text NOT IN ('great', 'good', 'okay', 'low', 'bad')) AS unknown_mood,
        count(*) FILTER (WHERE mood_score NOT BETWEEN 1 AND 10) AS mood_score_out_of_range,
        count(*) FILTER (WHERE sleep_hours NOT BETWEEN 0 AND 24) AS sleep_hours_out_of_range
    FROM public.checkins
    WHERE created_at >= %(since)s AND created_at < %(until)s
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
        LATERAL (VALUES ('null_user', counted.null_users, counted.row_count)) AS share (name, k, n)
)

SELECT
    'public.checkins' AS table_name,
    counted.*,
    null_user.measured AS null_user_share,
    null_user.at_least AS null_user_share_at_least,
    (extract(EPOCH FROM %(until)s - (SELECT newest.loaded_at FROM newest)) / 3600)::double precision AS newest_age_h
FROM counted
INNER JOIN shares AS null_user ON null_user.name = 'null_user'
