-- One line for each thing that stands against a swap: objects that would go on using the old table, rights that are
-- missing, a name that is taken.
select found.what
from (
    select format('view %s reads it', r.ev_class::regclass) as what
    from pg_depend as d
    inner join pg_rewrite as r on d.objid = r.oid
    where
        d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
        and d.refobjid = {oid} and r.ev_class <> {oid}
    union
    select format('function %s uses it', d.objid::regprocedure)
    from pg_depend as d
    where
        d.classid = 'pg_proc'::regclass
        and (
            (d.refclassid = 'pg_class'::regclass and d.refobjid = {oid})
            or (
                d.refclassid = 'pg_type'::regclass
                and d.refobjid in (
                    select t.oid from pg_type as t
                    where t.typrelid = {oid}
                )
            )
        )
    union
    select format('%s has its row type', pg_describe_object(d.classid, d.objid, d.objsubid))
    from pg_depend as d
    inner join pg_type as t on d.refobjid = t.oid and d.refclassid = 'pg_type'::regclass
    left join pg_type as element on t.typelem = element.oid
    where {oid} in (t.typrelid, element.typrelid) and d.classid <> 'pg_proc'::regclass and d.deptype = 'n'
    union
    select format('rule %I is on it', r.rulename)
    from pg_rewrite as r
    where r.ev_class = {oid} and r.rulename <> '_RETURN'
    union
    select format('type %s gives its columns', c.reloftype::regtype)
    from pg_class as c
    where c.oid = {oid} and c.reloftype <> 0
    union
    select format('policy %I protects it', p.polname)
    from pg_policy as p
    where p.polrelid = {oid}
    union
    select
        case
            when c.relrowsecurity then 'row-level security is on'
            else 'row-level security is forced for its owner, although it is off'
        end
    from pg_class as c
    where c.oid = {oid} and (c.relrowsecurity or c.relforcerowsecurity)
    union
    select format('publication %I replicates it', p.pubname)
    from pg_publication_rel as r
    inner join pg_publication as p on r.prpubid = p.oid
    where r.prrelid = {oid}
    union
    select 'it is partitioned, a partition, or in an inheritance tree'
    from pg_class as c
    where
        c.oid = {oid}
        and (
            c.relkind = 'p'
            or exists (
                select 1 from pg_inherits as i
                where c.oid in (i.inhrelid, i.inhparent)
            )
        )
    union
    select 'it is a materialized view'
    from pg_class as c
    where c.oid = {oid} and c.relkind = 'm'
    union
    select
        format(
            'role %1$I may not create in schema %2$s (GRANT CREATE ON SCHEMA %2$s TO %1$I)',
            current_user, c.relnamespace::regnamespace
        )
    from pg_class as c
    where c.oid = {oid} and not has_schema_privilege(c.relnamespace, 'create')
    union
    select format('%s is there already, from an earlier swap (rename or drop it)', kept.oid::regclass)
    from pg_class as c
    inner join pg_class as kept on c.relnamespace = kept.relnamespace and kept.relname = {kept}
    where c.oid = {oid}
) as found
order by found.what
