select {columns} from {table}
where {range}
