select
    {relation} as name,
    last_value,
    is_called
from {sequence}
