create table {table} (like {live} including all excluding indexes)
