-- A table made like another, empty.
CREATE TABLE {target} AS {rollup}
