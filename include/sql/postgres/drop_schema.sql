drop schema {schema} restrict
