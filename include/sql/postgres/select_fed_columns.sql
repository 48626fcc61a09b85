-- The columns of a table that a sequence of its own feeds.
select a.attname as name
from pg_attribute as a
where
    a.attrelid = {oid} and a.attnum > 0 and not a.attisdropped
    and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
    and pg_get_serial_sequence({relation}, a.attname) is not null
