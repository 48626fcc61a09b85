alter {kind} {owner} drop constraint {constraint}
