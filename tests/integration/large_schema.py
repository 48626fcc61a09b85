"""A large foreign schema: what PostgreSQL's own regression tests cover, in statements of our own.

`statements()` make it, as a superuser of an empty database that has the `EXTENSIONS`.
"""

from __future__ import annotations

from pathlib import Path

EXTENSIONS = ("hstore", "citext", "ltree", "cube", "btree_gist", "intarray", "pg_trgm", "isn", "seg", "lo")

# Type → values, as PostgreSQL's text. NULL is added to each.
_VALUES: dict[str, list[str]] = {
    "bool": ["t", "f"],
    "int2": ["-32768", "32767", "0"],
    "int4": ["-2147483648", "2147483647"],
    "int8": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1.10", "1.1", "1e-300", "1e300", "0.0000", "-0.00"],
    "numeric(5,2)": ["999.99", "NaN", "-0.01"],
    "numeric(3,-2)": ["12300", "-99900"],
    "numeric(2,5)": ["0.00099", "-0.00001"],
    "float4": ["NaN", "-0", "1e-45", "3.4028235e38", "-Infinity", "0.1"],
    "float8": ["NaN", "-0", "5e-324", "1.7976931348623157e308", "Infinity", "0.1"],
    "money": ["-92233720368547758.08", "92233720368547758.07", "0"],
    "text": [
        "",
        "\\N",
        "\\.",
        "NULL",
        "a\tb\nc\rd\\e",
        '"',
        "'",
        ",",
        "é",
        "e\u0301",
        "\U0001f9e0",
        "\ufeff",
        "\x01\x7f",
        "\r\n",
    ],
    "varchar": ["", " ", "  lead", "trail  "],
    "varchar(3)": ["", "abc", "é心\U0001f9e0"],
    "char(5)": ["", "ab", "é    "],
    "char": ["", "x"],
    '"char"': ["", "x", "\\377", "\\001", "\\200", '"'],
    "name": ["", "a" * 63, "é" * 31],
    "bytea": ["\\x", "\\x00", "\\x5c2e0a", "\\x" + "ff" * 3000],
    "bit(3)": ["101", "000"],
    "bit varying": ["", "1", "0" * 70],
    "date": [
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "5874897-12-31",
        "0001-01-01",
        "9999-12-31",
        "10000-01-01",
        "0001-12-31 BC",
        "1970-01-01",
    ],
    "time": ["00:00", "24:00", "23:59:59.999999"],
    "time(0)": ["12:00:01"],
    "timetz": ["24:00:00-15:59", "00:00:00+15:59", "12:00:00+05:30:15"],
    "timestamp": [
        "infinity",
        "-infinity",
        "4713-11-24 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
        "1969-12-31 23:59:59.999999",
        "0001-01-01",
        "2000-02-29",
    ],
    "timestamp(0)": ["2026-11-01 01:30:00"],
    "timestamptz": [
        "infinity",
        "-infinity",
        "4713-11-24 00:00:00+00 BC",
        "294276-12-31 23:59:59.999999+00",
        "1901-01-01 00:00:00+08:05:43",
        "2026-11-01 01:30:00-04",
    ],
    "timestamptz(2)": ["2026-11-01 01:30:00.12+14"],
    "interval": ["infinity", "-infinity", "-178000000 years", "1 mon -1 days +00:00:00.000001", "0", "-00:00:00.1"],
    "interval year to month": ["1-2"],
    "interval second(2)": ["1.23"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"a":1,"a":2}', " [1 ,2 ]", "null", '"\\u0000"', "1e999999"],
    "jsonb": ["null", '{"b":1,"a":[1.10,1e400,{}]}', '"\\u00e9"', "[]"],
    "jsonpath": ["$.a[*] ? (@ > 1)", 'strict $."x y"'],
    "inet": ["192.168.1.1/24", "::1", "::ffff:1.2.3.4/128", "0.0.0.0/0"],
    "cidr": ["10.0.0.0/8", "::/0", "1.2.3.4"],
    "macaddr": ["08:00:2b:01:02:03"],
    "macaddr8": ["08:00:2b:ff:fe:01:02:03"],
    "point": ["(NaN,Infinity)", "(-0,1e-300)"],
    "line": ["{1,-1,0}", "{0,-1,1e300}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["[(0,0),(1,1)]", "((0,0),(1,1))"],
    "polygon": ["((0,0),(1,1),(1,0))"],
    "circle": ["<(0,0),0>", "<(1,2),Infinity>"],
    "tsvector": ["'a':1A,2B 'qu''ote':16383", "", "'with space' 'back\\\\slash'"],
    "tsquery": ["'a' & !'b' <-> 'c':*A", ""],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "xid": ["4294967295", "0"],
    "xid8": ["18446744073709551615"],
    "cid": ["4294967295"],
    "tid": ["(4294967295,65535)", "(0,0)"],
    "oid": ["0", "4294967295"],
    "pg_snapshot": ["1:1:", "10:20:10,14,15"],
    "txid_snapshot": ["10:20:10,14,15"],
    "aclitem": ["=r/postgres"],
    "regclass": ["pg_catalog.pg_class", "0", "-"],
    "regtype": ["integer", '"char"', "pg_catalog.int4[]"],
    "regproc": ["pg_catalog.now"],
    "regprocedure": ["pg_catalog.abs(integer)"],
    "regoper": ["pg_catalog.||/"],
    "regoperator": ["pg_catalog.+(integer,integer)"],
    "regnamespace": ["pg_catalog"],
    "regrole": ["postgres"],
    "regcollation": ['pg_catalog."C"'],
    "regconfig": ["pg_catalog.simple"],
    "regdictionary": ["pg_catalog.simple"],
    "refcursor": ["c 1", ""],
    "int2vector": ["", "1 2 -3"],
    "oidvector": ["", "1 4294967295"],
    "int4range": ["empty", "(,)", "[1,5)", "[5,)"],
    "int8range": ["empty", "[-9223372036854775808,0)"],
    "numrange": ["[1.10,1.1]", "(NaN,NaN]", "(,0)", "[-Infinity,Infinity]"],
    "daterange": ["[infinity,]", "[2026-01-01,infinity)", "empty"],
    "tsrange": ["[2026-01-01 00:00:00,infinity]", "[-infinity,)"],
    "tstzrange": ["[2026-01-01 00:00:00+00,2026-01-02 00:00:00+08)"],
    "int4multirange": ["{}", "{[1,2),[3,4)}", "{(,)}"],
    "nummultirange": ["{[1.10,2.0],(3,)}"],
    "datemultirange": ["{[2026-01-01,2026-01-03)}"],
    "tsmultirange": ["{}"],
    "tstzmultirange": ["{[2026-01-01 00:00:00+00,infinity)}"],
    "int4[]": ["{}", "{NULL}", "[-2:0]={1,2,3}", "{{{1},{2}},{{3},{NULL}}}"],
    "text[]": ["{}", '{"",NULL,"NULL","a\\"b","c,d","{}"," ","\\\\"}'],
    "timestamptz[]": ['{infinity,"2026-01-01 00:00:00+08"}'],
    "bytea[]": ['{"\\\\x00ff",""}'],
    "jsonb[]": ['{"{\\"a\\": 1}",null}'],
    "box[]": ["{(1,1),(0,0);(2,2),(1,1)}"],
    "numrange[]": ['{"[1.10,2)",empty}'],
    # Types of the schema itself.
    "odd.mood": ["calm", "zz first", "quo'te", "", 'dou"ble', "低落", "back\\slash"],
    "odd.mood[]": ['{calm,"zz first","","dou\\"ble"}'],
    "odd.positive": ["0.10", "1"],
    "odd.small_positive": ["5", "0.50"],
    "odd.words": ["{}", '{a,"b c"}'],
    "odd.pair": ["(1,)", '(,"")', '(2,"a ""q"" \\\\ ,)")'],
    "odd.pair[]": ['{"(1,x)",NULL}'],
    "odd.nested": ['("(1,x)","{""(2,y)""}",1.5)', "(,,)"],
    "odd.valid_pair": ["(3,z)"],
    "odd.textrange": ["[a,b)", '["",é]', "empty"],
    "odd.textmultirange": ["{[a,b),[c,d)}"],
    "odd.short_range": ["[1,3)"],
    "odd.complex": ["(1,-0)", "(NaN,5e-324)"],
    "hstore": ['"a"=>NULL, "b"=>"", "c d"=>"\\"q\\""', ""],
    "citext": ["Ab", "aB", ""],
    "ltree": ["Top.Sub_1", ""],
    "lquery": ["*.a|b@.*{2}"],
    "ltxtquery": ["Europe & !Asia*"],
    "cube": ["(1, 2),(3, 4)", "(0)", "(1e-300, NaN)"],
    "query_int": ["1&(2|!3)"],
    "isbn13": ["978-0-393-04002-9"],
    "isbn": ["0-393-04002-X"],
    "seg": ["1.50 .. 2", "~7", "5(+-)0.3"],
    "lo": ["1"],
}


# A domain over an array has no type of array; a composite type's text would need another level of quotes.
_NO_ARRAYS = {"odd.nested", "odd.words"}


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _type_tables() -> str:
    """Return a table for each type: a key, the value, and arrays of the value."""
    made = []
    for number, (type_, values) in enumerate(_VALUES.items()):
        name = f"types.v{number:03}"
        rows = ", ".join(f"({_literal(value)}::{type_})" for value in values)
        if type_.endswith("[]") or type_ in _NO_ARRAYS:
            made.append(f"create table {name} (v {type_}); insert into {name} values {rows}, (null);")
        else:
            made.append(
                f"create table {name} (id int generated always as identity primary key, v {type_}, a {type_}[]);"
                f"insert into {name} (v, a) select v, array[v, null, v] from (values {rows}, (null)) as x (v);"
            )
    return "\n".join(made)


_FOLDER = Path(__file__).parent / "sql"


def statements() -> tuple[str, ...]:
    """Return the SQL that makes the schema, each to be run in a transaction of its own, in order."""
    return (
        (_FOLDER / "large_types.sql").read_text("utf-8"),
        _type_tables(),
        (_FOLDER / "large_schema.sql").read_text("utf-8"),
    )
