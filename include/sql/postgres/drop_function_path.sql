alter function {function} reset search_path
