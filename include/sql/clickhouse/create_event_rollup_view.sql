-- Updates the rollup with every insert into the raw table; the view itself stores nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {rollup} AS
{cells}
