"""The rota: who is on duty when."""
