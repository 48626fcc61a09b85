-- Creates every large object that was loaded into the table, under its number.
select count(lo_from_bytea(loid, data)) as objects
from {table}
