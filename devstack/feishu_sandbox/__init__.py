"""The Feishu sandbox keeps the contract of Feishu's bots, and shows what it received as a person would see it."""
