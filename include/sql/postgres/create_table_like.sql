create table {table} (like {live} including all excluding indexes excluding constraints)
