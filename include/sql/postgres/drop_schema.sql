drop schema {namespace} restrict
