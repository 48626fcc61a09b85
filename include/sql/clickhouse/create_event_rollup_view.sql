-- Keeps the rollup up to date with every insert; the view itself stores nothing.
CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {rollup} AS
{cells}
