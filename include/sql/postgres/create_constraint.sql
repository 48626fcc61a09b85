alter {kind} {owner} add {constrained}
