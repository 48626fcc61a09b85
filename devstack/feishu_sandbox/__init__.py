"""Feishu sandbox: keeps the contract of a Feishu custom bot and shows what it received, as a person would see it."""
