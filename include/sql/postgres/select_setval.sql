select setval({label}, greatest({value}, last_value)) from {sequence}
