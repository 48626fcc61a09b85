insert into {table} default values
