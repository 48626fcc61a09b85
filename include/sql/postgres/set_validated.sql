alter {kind} {owner} validate constraint {constraint}
