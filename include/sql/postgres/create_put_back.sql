-- Will hold the rows as they were put back, by which a later reversal finds them.
create table {after} as
select {restored_columns}
from {restored} as r
with no data
