"""News of a run for the outside: a ping, a notification, a metrics file.

Nothing here can fail or change a run. The addresses are secrets of the user.
"""
