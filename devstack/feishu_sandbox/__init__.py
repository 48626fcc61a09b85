"""The Feishu sandbox keeps the contract of Feishu's bots, and shows received messages as a person would see them."""
