-- A row that has come since the difference was shown stays as it is.
with done as (
    insert into {table} as l ({names})
    overriding system value
    select {restored_columns}
    from {restored} as r
    inner join {before} as b on {shown_key}
    where b.mindguard_missing
    on conflict ({key}) do nothing
    returning {live_columns}
)

insert into {after} ({names})
select {names}
from done
