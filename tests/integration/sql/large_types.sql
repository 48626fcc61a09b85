-- Types, and what belongs to them: the first part of the large schema.

create schema odd; create schema types; create schema other;
create type odd.mood as enum ('calm', 'zz first', 'quo''te', 'dou"ble');
alter type odd.mood add value '' before 'calm';
alter type odd.mood add value '低落' after 'calm';
alter type odd.mood add value 'back\slash';
create domain odd.positive as numeric check (value > 0);
create domain odd.small_positive as odd.positive check (value < 10) default 1;
create domain odd.words as text[] check (array_length(value, 1) is null or array_length(value, 1) < 5);
create type odd.pair as (a int, b text);
create type odd.nested as (p odd.pair, ps odd.pair[], n odd.positive);
create domain odd.valid_pair as odd.pair check ((value).a > 0);
create type odd.textrange as range (subtype = text, collation = "C", multirange_type_name = odd.textmultirange);
create domain odd.short_range as int4range check (upper(value) - lower(value) < 10);
create type odd.complex;
create function odd.complex_in(cstring) returns odd.complex language internal immutable strict as 'point_in';
create function odd.complex_out(odd.complex) returns cstring language internal immutable strict as 'point_out';
create type odd.complex (internallength = 16, input = odd.complex_in, output = odd.complex_out, alignment = double);
create function odd.complex_add(odd.complex, odd.complex) returns odd.complex language internal immutable strict
    as 'point_add';
create operator odd.+ (leftarg = odd.complex, rightarg = odd.complex, procedure = odd.complex_add,
    commutator = operator(odd.+));
create aggregate odd.complex_sum (odd.complex) (sfunc = odd.complex_add, stype = odd.complex, initcond = '(0,0)');
create cast (odd.complex as point) without function;
create cast (odd.pair as text) with inout as assignment;
create function odd.pair_lt(odd.pair, odd.pair) returns bool language sql immutable as 'select ($1).a < ($2).a';
create operator odd.<# (leftarg = odd.pair, rightarg = odd.pair, procedure = odd.pair_lt);
create function odd.backwards(int4, int4) returns int4 language sql immutable as 'select btint4cmp($2, $1)';
create operator class odd.descending for type int4 using btree as
    operator 1 > , operator 2 >= , operator 3 = , operator 4 <= , operator 5 < , function 1 odd.backwards(int4, int4);
create collation odd.by_byte (provider = libc, locale = 'C');
create collation odd.points (provider = builtin, locale = 'C.UTF-8');
create text search dictionary odd.plain (template = simple, accept = false);
create text search configuration odd.english (copy = pg_catalog.english);
alter text search configuration odd.english alter mapping for asciiword with odd.plain, english_stem;
