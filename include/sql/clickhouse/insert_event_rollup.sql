-- Fill a table with the rollup's definition from the raw events.
INSERT INTO {target}
{cells}
