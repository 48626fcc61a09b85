-- Whether a sequence exists, and its bare name.
select
    to_regclass({sequence}) is not null as there,
    (parse_ident({sequence}))[2] as relation
