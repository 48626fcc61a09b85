select setval({sequence}::regclass, {value}, {called})
