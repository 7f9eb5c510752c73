"""The seam between the facade and what stores the records."""
