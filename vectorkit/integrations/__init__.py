"""Vector stores of other frameworks, on a `Collection`: the same answers whichever backend holds it.

Each module imports its framework, and nothing else of vectorkit imports these modules.
"""
