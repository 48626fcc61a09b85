"""A table of values that backups have lost before, and others that are awkward in shape or name."""

from __future__ import annotations

HOSTILE_SCHEMA = """
create type mood as enum ('calm', 'анxious', '低落', 'quo''te', 'with space');
create type pair as (a int, b text);
create domain positive as numeric check (value > 0);
create domain short_text as text check (length(value) < 100);
create table hostile (
    id int generated always as identity primary key,
    num numeric, num_s numeric(40, 10), money_ money, oid_ oid,
    f4 float4, f8 float8,
    jb jsonb, js json,
    arr int[], arr2 int[][], tarr text[], marr mood[],
    txt text, vc varchar(30), ch char(8), ochar "char", nm name, ci text collate "C",
    ts timestamp, tstz timestamptz, tstz3 timestamptz(3), dt date, tm time, tmz timetz, iv interval,
    ir int4range, tr tstzrange, mr int4multirange,
    comp pair, dom positive, domt short_text, en mood,
    by bytea, b1 bit(5), vb varbit, tsv tsvector, tsq tsquery, u uuid,
    ip inet, cd cidr, mac macaddr, pt point, bx box, pl polygon, lsn pg_lsn, reg regclass, xid_ xid8, bl bool,
    i2 int2, i8 int8,
    gen numeric generated always as (num_s * 2) stored,
    gen_v int generated always as (i2 + 40000) virtual
);
"""

# Each row: column → PostgreSQL text of its value. Columns that are not named are NULL.
HOSTILE_ROWS: list[dict[str, str]] = [
    {},
    {"num": "NaN", "f4": "NaN", "f8": "NaN", "txt": "", "vc": "", "tarr": "{}", "jb": "null", "by": "\\x"},
    {"num": "Infinity", "f4": "-Infinity", "f8": "Infinity", "txt": "NULL", "vc": "NULL", "tarr": '{NULL,"NULL",""}'},
    {"num": "123456789012345678901234567890.123456789", "num_s": "1.1", "f8": "-0", "f4": "-0"},
    {
        "num": "1.10",
        "f8": "0.1",
        "f4": "0.1",
        "js": '{"a": 1,   "a": 2}',
        "jb": '{"n": 123456789012345678901234567890.10}',
    },
    {"num": "1.1", "f8": "5e-324", "f4": "1e-45", "jb": '"\\u0001"', "i2": "-32768", "i8": "-9223372036854775808"},
    {"arr2": "{{1,2},{3,4}}", "arr": "[0:1]={7,8}", "marr": '{calm,低落,"with space",quo\'te}', "en": "quo'te"},
    {"arr": "{1,NULL,3}", "tarr": '{"a,b","c\\"d","\\\\",低}', "en": "低落"},
    {"ts": "infinity", "tstz": "-infinity", "dt": "infinity"},
    {"ts": "4713-01-01 00:00:00 BC", "tstz": "0044-03-15 12:00:00+00 BC", "dt": "4713-01-01 BC"},
    {"ts": "9999-12-31 23:59:59.999999", "tstz": "9999-12-31 23:59:59.999999+00", "dt": "9999-12-31"},
    {"ts": "294276-12-31 23:59:59.999999", "tstz": "10000-01-01 00:00:00+00", "dt": "5874897-12-31"},
    {
        "ts": "0001-01-01 00:00:00",
        "tstz": "0001-01-01 00:00:00+00",
        "dt": "0001-01-01",
        "tstz3": "2026-01-01 00:00:00.123+08",
    },
    {"tm": "24:00", "tmz": "24:00:00-15:59", "iv": "1 year -2 mons +3 days -04:05:06.000007"},
    {"iv": "-1 days +24:00:00", "tm": "00:00:00.000001", "tmz": "12:00:00+08"},
    {"ir": "empty", "tr": "[2026-01-01 00:00+00,infinity)", "mr": "{[1,3),[5,)}"},
    {"comp": '(1,"a,b ""q"" \\\\")', "dom": "0.10", "domt": ""},
    {"comp": "(,)", "ch": "ab", "ochar": "x", "nm": "名", "vc": "trailing  "},
    {"comp": '(,"")', "ch": "", "txt": "line\nbreak\ttab \\ back 'quote' \"double\" \x01\x7f"},
    {"by": "\\x00ff0a", "b1": "10101", "vb": "", "u": "00000000-0000-0000-0000-000000000000", "bl": "f"},
    {"tsv": "'a':1A 'fat':2B,4C 'qu''ote':5", "tsq": "'fat' & ( 'rat' | !'cat' )", "bl": "t"},
    {"ip": "192.168.1.1", "cd": "10.0.0.0/8", "mac": "08:00:2b:01:02:03"},
    {"ip": "::ffff:1.2.3.4/128", "pt": "(1.5,-0)", "bx": "(1,1),(0,0)", "pl": "((0,0),(1,1),(1,0))"},
    {"oid_": "4294967295", "lsn": "FFFFFFFF/FFFFFFFF", "reg": "pg_catalog.pg_class", "xid_": "18446744073709551615"},
    {"money_": "-92233720368547758.08", "ci": "ÄÖ 心 🧠 \U0010ffff"},
    {
        "money_": "1234567.89",
        "txt": "e\u0301 is not é; \ufeff bom; \u202e rtl; 👩‍👩‍👧‍👦",
        "jb": '{"键": ["值", 1.0, 1e400]}',
    },
    {"txt": "x" * 10_000_000, "by": "\\x" + "ab" * 1_000_000},
]

ODD_TABLES: dict[str, str] = {
    'public."表 with space"': (
        'create table public."表 with space" ("列 1" int, "UPPER" text, "100%" text, "a""b" text, "sel;ect" int);'
        "insert into public.\"表 with space\" values (1, 'x', '50 %', 'q', 2), (null, null, null, null, null)"
    ),
    'public."per%cent"': (
        'create table public."per%cent" ("k%s" int primary key, "v{x}" text);'
        "insert into public.\"per%cent\" select i, repeat('长', 50) from generate_series(1, 40000) i"
    ),
    "public.no_key": (
        "create table public.no_key as select i % 7 as a, repeat('x', 100) as b from generate_series(1, 60000) i"
    ),
    "public.no_columns": (
        "create table public.no_columns (); insert into public.no_columns select from generate_series(1, 5)"
    ),
    "public.nothing": "create table public.nothing (id int primary key, t text)",
    "public.wide": (
        "do $$ begin execute 'create table public.wide (' || (select string_agg(format('c%s int', i), ', ') "
        "from generate_series(1, 1600) i) || ')'; end $$;"
        "insert into public.wide (c1, c1600) values (1, 2), (null, null)"
    ),
    "public.parted": (
        "create table public.parted (id int, day date, v text, primary key (id, day)) partition by range (day);"
        "create table public.parted_a partition of public.parted for values from ('2026-01-01') to ('2026-02-01');"
        "create table public.parted_b partition of public.parted for values from ('2026-02-01') to ('2026-03-01');"
        "insert into public.parted select i, '2026-01-01'::date + i % 59, repeat('v', 80) "
        "from generate_series(1, 50000) i"
    ),
    "public.uuid_key": (
        "create table public.uuid_key (id uuid primary key default gen_random_uuid(), v text);"
        "insert into public.uuid_key (v) select repeat('y', 90) from generate_series(1, 50000)"
    ),
    "public.null_keys": (
        "create table public.null_keys (k timestamptz, v text);"
        "insert into public.null_keys select case when i % 5 = 0 then null else '2026-01-01'::timestamptz + i * "
        "interval '1 minute' end, repeat('z', 90) from generate_series(1, 50000) i"
    ),
    "public.parent": (
        "create table public.parent (id int primary key, v text);"
        "create table public.child () inherits (public.parent);"
        "insert into public.parent values (1, 'own'); insert into public.child values (2, 'of the child')"
    ),
    "odd.collated": (
        "create schema odd;"
        "create table odd.collated (id bigint generated by default as identity, code varchar(12) primary key);"
        "insert into odd.collated (code) select 'k' || i from generate_series(1, 60000) i"
    ),
}
"""Qualified, quoted name → statements that make and fill it."""
