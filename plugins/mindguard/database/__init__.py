"""The operations database (connections.ops): its sessions, its tables' base, and its migrations.

Incidents, monitors and the pages on checks keep their tables here.
"""
