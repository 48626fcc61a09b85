select
    count(*) filter (where b.mindguard_missing) as missing,
    count(*) filter (where not b.mindguard_missing) as changed,
    (select count(*) from {restored}) as in_all
from {before} as b
