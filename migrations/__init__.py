"""Alembic's environment: upgrades a library's catalog when it is opened."""
