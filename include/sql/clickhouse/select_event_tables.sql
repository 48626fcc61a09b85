-- Columns of all tables that hold rows, the largest table first.
SELECT
    t.database AS database,
    t.name AS table_name,
    toInt64(coalesce(t.total_rows, 0)) AS total,
    c.name AS name,
    c.type AS type
FROM system.tables AS t
INNER JOIN system.columns AS c ON t.database = c.database AND t.name = c.table
WHERE lower(t.database) NOT IN ('system', 'information_schema')
    AND (t.engine LIKE '%MergeTree' OR t.engine = 'Distributed')
    AND NOT endsWith(t.name, '_rollup')
ORDER BY total DESC, database, table_name, c.position
