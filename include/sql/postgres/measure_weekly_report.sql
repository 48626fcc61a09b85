-- The state of one ISO week's report. If there is no row, the report has not been started.
select
    case when run.finished_at is null then 'running' else 'done' end as state,
    (
        select count(*)
        from public.weekly_reports as report
        where report.iso_week = run.iso_week
    ) as rows
from public.weekly_report_runs as run
where run.iso_week = %(iso_week)s
order by run.started_at desc
limit 1
