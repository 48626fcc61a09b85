-- Create an empty table with the rollup's definition.
CREATE TABLE {target} AS {rollup}
