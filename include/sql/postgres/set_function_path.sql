alter function {function} set search_path from current
