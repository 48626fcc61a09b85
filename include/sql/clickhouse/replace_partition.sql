-- One partition of the rollup for a rebuilt one, at once.
ALTER TABLE {rollup} REPLACE PARTITION ID {partition:String} FROM {target}
