"""Run an Alembic project's pending revisions on PostgreSQL behind a verified backup, a measured rehearsal and a confirmation.

It never runs a revision without a way back that was restored and compared, never commits what differs from the rehearsal,
and never shows a row's value or a password. Start reading at `steps.py`: the story, one function a step.
"""
