"""The embedded PostgreSQL server. Nothing here needs more than the standard library until it is used."""
