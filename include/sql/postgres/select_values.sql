-- The values as the type itself spells them.
select format('%s', given.value::{type}) as value
from unnest({values}) as given (value)
