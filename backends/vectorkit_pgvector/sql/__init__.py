"""The SQL of collections, apart from what sends it, and the values in it."""
