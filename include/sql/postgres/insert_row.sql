insert into {table} ({names})
overriding system value
values ({values})
