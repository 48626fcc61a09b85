lock table {tables} in access share mode
