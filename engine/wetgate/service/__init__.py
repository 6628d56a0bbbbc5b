"""The service: jobs, previews and the review page for hosts on the same machine.

One process that does no engine work itself; see README.md beside this file.
"""
