-- The first rows of one query that somebody wrote. Anything else than one query is an error here.
-- noqa: disable=AM04,AM09
select answer.*
from (
    {query}
) as answer
limit {most}
