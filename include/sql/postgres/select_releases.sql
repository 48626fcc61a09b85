-- The last three releases of the application; `releases.query` names this file, or another that gives the same columns.
select
    version,
    released_at,
    share,
    rolled_back,
    note
from public.releases
order by released_at desc
limit 3
