-- What the weekly report's job writes: one run a week, one report for each user.
CREATE TABLE IF NOT EXISTS public.weekly_report_runs (
    iso_week text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    PRIMARY KEY (iso_week, started_at)
);
CREATE TABLE IF NOT EXISTS public.weekly_reports (
    iso_week text NOT NULL,
    user_id bigint NOT NULL,
    checkins integer NOT NULL,
    mood_score numeric(4, 2),
    PRIMARY KEY (iso_week, user_id)
);
