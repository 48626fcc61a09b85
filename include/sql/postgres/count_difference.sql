-- Rows of the restored and of the live table, paired by key and compared byte for byte: 1.10 is not 1.1 here.
select
    count(*) filter (where live.present is null) as only_restored,
    count(*) filter (where restored.present is null) as only_live,
    count(*) filter (where record_image_ne(restored.image, live.image)) as changed,
    count(*) filter (where record_image_eq(restored.image, live.image)) as equal
from (select {key}, row({columns}) as image, true as present from {table}) as restored
full join (select {key}, row({columns}) as image, true as present from {live} where {range}) as live using ({key})
