select set_config({setting}, {value}, false)
