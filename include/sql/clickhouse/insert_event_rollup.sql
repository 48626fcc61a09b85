-- Fills a table made like the rollup with what landed in [since, until).
INSERT INTO {target}
{cells}
