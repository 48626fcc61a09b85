select
    mindguard_missing,
    {names}
from {before}
order by mindguard_missing, {key}
