"""The operations database (connections.ops): its sessions, the base class of its tables, and its migrations.

It holds the tables of incidents, monitors and the pages on checks.
"""
