-- Bytes of all large objects of the database, some of which the tables may not refer to.
select pg_relation_size('pg_largeobject') as bytes
