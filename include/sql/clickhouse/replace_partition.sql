-- Replace one partition of the rollup by a rebuilt one, in one step.
ALTER TABLE {rollup} REPLACE PARTITION ID {partition:String} FROM {target}
