"""Feishu: cards (pure), and the clients that send them."""
