-- Definitions of the views that the user may see. A setting in a view can cut its answer short, whoever reads it.
SELECT database, name, create_table_query
FROM system.tables
WHERE engine = 'View'
