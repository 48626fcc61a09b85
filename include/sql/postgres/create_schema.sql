create schema {namespace}
