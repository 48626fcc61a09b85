-- The values as the type's own output function writes them.
select format('%s', given.value::{type}) as value
from unnest({values}) as given (value)
