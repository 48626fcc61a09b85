-- Statements that give the sequences of a copy's identity columns the types that the original's have. LIKE makes them
-- bigint, whatever the column's type is.
select format('alter sequence %s as %s', copied.oid::regclass, format_type(original.seqtypid, null)) as step
from pg_attribute as a
inner join pg_depend as of_live
    on
        a.attrelid = of_live.refobjid and a.attnum = of_live.refobjsubid
        and of_live.classid = 'pg_class'::regclass and of_live.refclassid = 'pg_class'::regclass
        and of_live.deptype = 'i'
inner join pg_sequence as original on of_live.objid = original.seqrelid
inner join pg_attribute as b on b.attrelid = {relation}::regclass and a.attname = b.attname
inner join pg_depend as of_copy
    on
        b.attrelid = of_copy.refobjid and b.attnum = of_copy.refobjsubid
        and of_copy.classid = 'pg_class'::regclass and of_copy.refclassid = 'pg_class'::regclass
        and of_copy.deptype = 'i'
inner join pg_class as copied on of_copy.objid = copied.oid
inner join pg_sequence as made on copied.oid = made.seqrelid
where a.attrelid = {oid} and original.seqtypid <> made.seqtypid
order by a.attnum
