-- The sequence of a live table's column, and the name that PostgreSQL would give such a sequence by default.
select
    case when to_regclass({table}) is not null then pg_get_serial_sequence({table}, {column}) end as live,
    format('%s_%s_seq', {table}, {column}) as usual
