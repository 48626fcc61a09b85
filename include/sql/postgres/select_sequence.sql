-- Whether a sequence exists, and its bare name. A name is looked up in the catalog, which needs no right on its schema.
select
    s.oid is not null as there,
    named.parts[2] as relation
from parse_ident({sequence}) as named (parts) -- noqa: RF02
left join pg_namespace as n on named.parts[1] = n.nspname
left join pg_class as s on n.oid = s.relnamespace and named.parts[2] = s.relname and s.relkind = 'S'
