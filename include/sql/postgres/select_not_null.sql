-- Columns that must not be null now, but could be allowed to be. `set_nullable` refuses those of an identity.
select a.attname as name
from pg_attribute as a
where
    a.attrelid = {relation}::regclass and a.attnum > 0 and a.attnotnull and not a.attisdropped and a.attidentity = ''
