-- The large schema, after its types and a table for each of them.

-- Inheritance
create table a_parent (id int, a text default 'a', constraint a_own check (id > 0) no inherit);
create table b_parent (b numeric not null, id int not null, constraint b_positive check (b > 0));
create table child (own text, b numeric) inherits (a_parent, b_parent);
create table grandchild (z int generated always as identity, a text default 'g') inherits (child);
alter table a_parent add column late int default 7;
alter table a_parent add column d date; alter table a_parent drop column d;
alter table b_parent add constraint b_small check (b < 1000);
insert into a_parent values (1, 'x'); insert into b_parent values (2, 2);
insert into child (id, b, own) values (-3, 3, 'own'), (4, 4, null); insert into grandchild (id, b) values (5, 5);
create table joined_later (own2 text, id int, a text, late int);
alter table joined_later inherit a_parent; insert into joined_later values ('l', 6, 'a', null);
create table typed of odd.pair (primary key (a), b default 'typed'); insert into typed values (1);
create table dropped (a int, b text, c int, d text); alter table dropped drop column a, drop column c;
insert into dropped values ('b', 'd');
create view on_child as select * from child;
create rule to_child as on insert to on_child do instead insert into child (id, b) values (new.id, new.b);

-- Partitions
create table by_list (id int, kind text, v text default 'top', primary key (id, kind)) partition by list (kind);
create table by_list_a partition of by_list for values in ('a', 'A');
create table by_list_null (v text default 'part', kind text not null, gone int, id int not null);
alter table by_list_null drop column gone;
alter table by_list attach partition by_list_null for values in ('n');
create table by_list_rest partition of by_list default partition by hash (id);
create table by_list_rest_0 partition of by_list_rest for values with (modulus 2, remainder 0);
create table by_list_rest_1 partition of by_list_rest for values with (modulus 2, remainder 1);
insert into by_list (id, kind) select i, (array['a', 'A', 'n', 'x', ''])[1 + i % 5] from generate_series(1, 200) i;
create index by_list_v on by_list (v) include (id); create unique index on by_list_a (id);
create index by_list_lower on by_list (lower(kind)) where id > 10;
create table by_range (id bigint generated always as identity, at timestamptz not null, of_list int, of_kind text,
    primary key (id, at), foreign key (of_list, of_kind) references by_list on delete cascade)
    partition by range (at, id);
create table by_range_1 partition of by_range for values from (minvalue, minvalue) to ('2026-01-01', maxvalue);
create table by_range_2 partition of by_range for values from ('2026-01-01', maxvalue) to (maxvalue, maxvalue)
    partition by hash (id);
create table by_range_2_even partition of by_range_2 for values with (modulus 2, remainder 0);
create table by_range_2_other partition of by_range_2 for values with (modulus 2, remainder 1);
insert into by_range (at, of_list, of_kind)
    select '2025-12-31'::timestamptz + i * interval '1 hour', id, kind from by_list, generate_series(id, id) i;
create table to_range (range_id bigint, range_at timestamptz, n int,
    constraint to_range_fk foreign key (range_id, range_at) references by_range (id, at)
        on update cascade deferrable initially deferred);
insert into to_range select id, at, 1 from by_range limit 20;
create table by_mood (m odd.mood, n int) partition by hash (m);
create table by_mood_0 partition of by_mood for values with (modulus 3, remainder 0);
create table by_mood_1 partition of by_mood for values with (modulus 3, remainder 1);
create table by_mood_2 partition of by_mood for values with (modulus 3, remainder 2);
insert into by_mood select m, i from unnest(enum_range(null::odd.mood)) m, generate_series(1, 30) i;
create table by_expression (a text, b int) partition by range (length(a), (b + 1));
create table by_expression_1 partition of by_expression for values from (0, minvalue) to (5, 10);
create table by_expression_rest partition of by_expression default;
insert into by_expression values ('abc', 1), ('abcdefg', 2), (null, null);
create table detached (id int, kind text, v text); insert into detached values (1, 'q', 'alone');
create table no_partitions (id int) partition by list (id);
create function noted() returns trigger language plpgsql as
    $$ begin if new.v = 'never' then return null; end if; return new; end $$;
create trigger noted before insert or update on by_list for each row execute function noted();
alter table by_list_a disable trigger noted;
alter table by_list_null enable always trigger noted;
create index only_top on only by_list (id, v);

-- Columns
create table generated (id int primary key, price numeric, n int not null,
    total numeric generated always as (price * n) stored,
    shown text generated always as (n::text || 'x') virtual,
    twice bigint generated always as (n * 2::bigint) virtual,
    lowered text generated always as (lower('ABC' || id::text)) stored);
insert into generated values (1, 'NaN', 1), (2, null, 2), (3, 1.10, -3);
create table identities (a int generated always as identity (start 100 increment 7 cycle maxvalue 1000),
    b smallint generated by default as identity (increment -1), c bigserial, d smallserial, v text);
insert into identities (v) select 'v' || i from generate_series(1, 150) i;
alter sequence identities_c_seq rename to "Renamed Sequence";
create sequence down increment -5 minvalue -100 maxvalue 100 start 50 cycle; select nextval('down');
create sequence tiny as smallint cache 20; select nextval('tiny'), setval('tiny', 32767);
create sequence untouched start with 9; create sequence other.elsewhere; create unlogged sequence fast;
create sequence by_hand owned by identities.v; select setval('by_hand', 7, false);
create sequence "Odd ""seq"" %s"; select nextval('"Odd ""seq"" %s"');
create table uses_others (id bigint default nextval('other.elsewhere'), n int default nextval('tiny'::text) - 32767);
create table stored_how (id int primary key, plain text storage plain, ext text storage external,
    main text storage main, packed text compression pglz, squeezed text)
    with (fillfactor = 50, autovacuum_enabled = off, toast_tuple_target = 512, toast.autovacuum_enabled = off);
insert into stored_how select i, 'p', repeat('e', 20000), repeat('m', 5000), repeat('pglz', 9000),
    repeat('lz4', 9000) from generate_series(1, 5) i;
alter table stored_how alter ext set statistics 500, alter main set (n_distinct = -0.5);
create unlogged table quick (id int primary key, v text); insert into quick values (1, 'u');
create table nothing_at_all (); insert into nothing_at_all default values;
create table row_types (t generated, ts identities[], r odd.pair);
insert into row_types (t, ts, r) select g, (select array_agg(i) from identities i where c < 3), row(1, 'x')::odd.pair
    from generated g;
create table defaults (a timestamptz default now(), b text default current_user, c uuid default gen_random_uuid(),
    d odd.small_positive, e int[] default '{1,2}', f text collate "C" default 'x'::text, g text collate odd.points);
insert into defaults (a, b, c, g) values ('2026-01-01', 'b', '00000000-0000-0000-0000-000000000001', 'É');
create table bare_time (t time default localtime, u text default E'\x01', w text default 'it''s');

-- Constraints and indexes
create table rooms (id int primary key deferrable initially deferred, during tstzrange not null, room text,
    code text unique nulls not distinct, low int, high int,
    constraint sane check (low < high),
    exclude using gist (room with =, during with &&) where (room <> 'shared') deferrable,
    unique (room, id) include (low), constraint never_empty check (not isempty(during)));
insert into rooms values (1, '[2026-01-01,2026-01-02)', 'a', null, -1, 5), (2, '[2026-01-01,2026-01-02)', 'b', 'x', 1, 2);
alter table rooms add constraint later check (low > 0) not valid, add constraint not_enforced check (high < 3) not enforced;
create table spans (id int, valid daterange, v text, primary key (id, valid without overlaps));
insert into spans values (1, '[2026-01-01,2026-02-01)', 'x'), (1, '[2026-02-01,2026-03-01)', 'y');
create table of_spans (oid_ int, valid daterange, unique (oid_, valid without overlaps),
    foreign key (oid_, period valid) references spans (id, period valid));
insert into of_spans values (1, '[2026-01-10,2026-02-20)');
create table tree (id int primary key, up int references tree deferrable, other int,
    constraint weak foreign key (other) references tree (id) not valid);
set session_replication_role = replica; insert into tree values (1, 2, 99), (2, 1, null);
set session_replication_role = origin;
create table set_null (a int, b int, x int references tree (id) match full on delete set default on update set null,
    foreign key (a) references tree (id) on delete set null (a), check (b is distinct from 7));
insert into set_null values (1, 2, 1), (null, null, null);
create table cycle_a (id int primary key, b int); create table cycle_b (id int primary key, a int references cycle_a);
alter table cycle_a add foreign key (b) references cycle_b deferrable initially deferred;
insert into cycle_a values (1, null); insert into cycle_b values (1, 1); update cycle_a set b = 1;
create table indexed (id int primary key, t text, j jsonb, arr int[], p point, ts tsvector, c char(9));
insert into indexed select i, 't' || i, jsonb_build_object('i', i), array[i, i + 1], point(i, -i), to_tsvector('t' || i), 'c'
    from generate_series(1, 500) i;
create index indexed_gin on indexed using gin (j jsonb_path_ops); create index indexed_gin_2 on indexed using gin (arr);
create index indexed_gist on indexed using gist (p); create index indexed_spgist on indexed using spgist (t);
create index indexed_blocks on indexed using brin (id) with (pages_per_range = 4);
create index indexed_hash on indexed using hash (t); create index indexed_trgm on indexed using gin (t gin_trgm_ops);
create index indexed_desc on indexed (t collate "C" desc nulls last, id odd.descending) where id % 2 = 0;
create unique index indexed_expr on indexed ((t || id::text), lower(t)) include (c);
alter index indexed_expr alter column 1 set statistics 100;
create index indexed_whole on indexed (id) where indexed is not null;
cluster indexed using indexed_pkey; alter table indexed replica identity using index indexed_pkey;
create statistics indexed_stats (ndistinct, dependencies, mcv) on t, c from indexed;
create statistics other.expression_stats on (lower(t)), (id % 7) from indexed;

-- Programs that a server runs
create extension postgres_fdw;
create function odd.ddl() returns event_trigger language plpgsql as $$ begin end $$;
create function other.bump() returns trigger language plpgsql as
    $$ begin new.n := coalesce(new.n, 0) + 1; insert into log (what) values (tg_op); return new; end $$;
create table log (id bigint generated always as identity, what text);
create table triggered (id int primary key, n int, v text);
create trigger bump before insert or update of v on triggered for each row when (new.v is distinct from 'quiet')
    execute function other.bump();
create function check_late() returns trigger language plpgsql as $$ begin return null; end $$;
create constraint trigger late after insert or update on triggered from log deferrable initially deferred for each row
    execute function check_late();
create trigger statement_level after update on triggered referencing old table as o new table as n
    for each statement execute function check_late();
create trigger off before delete on triggered for each row execute function other.bump();
insert into triggered (id, v) values (1, 'a'), (2, 'quiet'); set constraints all immediate; alter table triggered disable trigger off;
alter table triggered enable replica trigger statement_level;
create function unqualified(int) returns bigint language sql stable as 'select count(*) from log where id > $1';
create function begin_atomic(a int, b int default 3) returns int language sql immutable begin atomic select a + b; end;
create procedure doing(inout x int) language plpgsql as $$ begin x := x + 1; commit; end $$;
create function polymorphic(anyelement, variadic anyarray) returns setof anyelement language sql as 'select $1';
create function table_result(t triggered) returns table (x int, y text) language sql as 'select (t).id, (t).v';
create view plain as select id, v, unqualified(id) as u from triggered with local check option;
create view recursive_view as with recursive r (n) as (select 1 union all select n + 1 from r where n < 5) select * from r;
create view guarded with (security_barrier, security_invoker) as select * from triggered where id > 0;
create function to_guarded() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger instead instead of insert on guarded for each row execute function to_guarded();
create rule logged as on update to triggered where new.id = -1 do also insert into log (what) values ('rule');
create rule silent as on delete to log do instead nothing;
create materialized view mv as select id, v from triggered; create unique index mv_id on mv (id);
create view on_mv as select * from mv where id > 0;
create materialized view mv_on_view as select count(*) as n, 'x'::text as t from on_mv;
create materialized view "mv 2" as select 2 as two; comment on materialized view mv is 'comment';
create materialized view unfilled as select 1 as one with no data;
create view on_all as select * from mv_on_view, "mv 2", on_mv;
create event trigger watch_ddl on ddl_command_end execute function odd.ddl();
create table secured (id int primary key, owner text); insert into secured values (1, 'nobody'), (2, 'postgres');
alter table secured enable row level security; alter table secured force row level security;
create policy own on secured as restrictive for update to public using (owner = current_user) with check (false);
create policy "all of it" on secured for all using (id > 1);
create publication everything for all tables; create publication chosen for table triggered (id, v) where (id > 0);
create server away foreign data wrapper postgres_fdw options (host 'h');
create foreign table far (id int) server away; create user mapping for public server away options (user 'u');
create type other.shadow as (x int); create domain other.nothing as int;

-- Odd names
create schema "a.b"; create table "a.b"."c.d" (id int primary key, v text); insert into "a.b"."c.d" values (1, 'dots');
create schema a; create table a.plain (id int references "a.b"."c.d"); insert into a.plain values (1);
create schema "Sch%ma ""q"" 🧠"; create table "Sch%ma ""q"" 🧠"."Täble '%s' {x}" ("COL.umn" int primary key, "a""b" text,
    "per%cent" text, "{brace}" text, "semi;colon" text, "🧠" text, "select" int, " " text, "-- no" text);
insert into "Sch%ma ""q"" 🧠"."Täble '%s' {x}" values (1, 'a', 'b', 'c', 'd', 'e', 2, 'f', 'g');
create index "in%dex ""{0}"" x" on "Sch%ma ""q"" 🧠"."Täble '%s' {x}" ("COL.umn", "{brace}");
create table internals (id int primary key, row_value int, part text, longest bytea, barrier text, keyed text, boundary text,
    cut int, quantiles text, range text, key int, "row" text, mindguard text, live text, sum_1 int, time_out_of_range bool);
insert into internals values (1, 2, 'p', 'l', 'b', 'k', 'b', 3, 'q', 'r', 4, 'row', 'm', 'l', 5, true);
create table part (part int primary key, "tableoid_" int, ctid_ tid); insert into part values (1, 2, '(0,1)'), (2, 3, null);
create table row_value (row_value int, keyed text, internals text); insert into row_value values (1, 'k', 'i');
create table keyed (barrier timestamptz, part int, longest int, "only" int, "table" int); insert into keyed values (now(), 1, 2, 3, 4);
create table pg_x (id int); insert into pg_x values (1);
create table "UPPER" ("ID" int primary key, "Value" text); insert into "UPPER" values (1, 'U');
create table upper ("id" int primary key); insert into upper values (2);
create table "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" (id serial primary key,
    "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" text unique);
insert into "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" values (default, 'c');
create table "心情心情心情心情心情心情心情心情心情心情心" (id bigserial primary key, "心" text);
insert into "心情心情心情心情心情心情心情心情心情心情心" values (default, '低');
create table "t 2" (id int primary key); insert into "t 2" values (1);
create table t (id int primary key); insert into t values (7);
create table "new
line" ("col
umn" int primary key, "tab	bed" text); insert into "new
line" values (1, 'x');
create table "slash/\back" (id int primary key, ".." text, "%2F" text); insert into "slash/\back" values (1, 'x', 'y');
create table "user" (id int, "user" text, "current_user" text, "default" int default 3, "check" int check ("check" > 0));
insert into "user" values (1, 'u', 'c', 3, 4);
create table "-t" (id int); insert into "-t" values (1); create table "public.dotted" (id int);
create table "?" (id int primary key, "$1" int, ":x" text, "%(x)s" text, "%%" text); insert into "?" values (1, 2, 'x', 'y', 'z');

-- Comments
comment on schema odd is 'schema''s "comment" %s {x}'; comment on type odd.pair is E'two\nlines';
comment on column odd.pair.a is 'attribute'; comment on domain odd.positive is 'domain';
comment on constraint positive_check on domain odd.positive is 'constraint of a domain';
comment on column generated.total is 'generated'; comment on table generated is '-- Name: fake; Type: TABLE; Schema: x; Owner: y';
comment on function begin_atomic(int, int) is 'function'; comment on aggregate odd.complex_sum(odd.complex) is 'aggregate';
comment on operator odd.+ (odd.complex, odd.complex) is 'operator'; comment on index indexed_gist is 'index';
comment on trigger bump on triggered is 'trigger'; comment on rule logged on triggered is 'rule';
comment on policy own on secured is 'policy'; comment on sequence down is 'sequence'; comment on view plain is 'view';
comment on constraint sane on rooms is 'check'; comment on statistics indexed_stats is 'statistics';
comment on collation odd.by_byte is 'collation'; comment on text search configuration odd.english is 'configuration';
comment on cast (odd.complex as point) is 'cast'; comment on extension hstore is 'of our own';
comment on constraint to_range_fk on to_range is 'foreign key'; comment on column mv.id is 'of a view''s column';
comment on materialized view "mv 2" is 'two'; comment on view on_mv is E'a\n;\nb';
comment on event trigger watch_ddl is 'event trigger'; comment on publication chosen is 'publication';

-- Many tables alike
do $$ begin
    for i in 1..150 loop
        execute format('create table other.%I (id int generated by default as identity primary key, ref int '
            'references other.%I, v text default %L, unique (v, id))', 'alike_' || i, 'alike_' || greatest(i - 1, 1), i);
        execute format('insert into other.%I (v) select repeat(%L, j) from generate_series(1, %s) j', 'alike_' || i, 'v', i);
    end loop;
end $$;
