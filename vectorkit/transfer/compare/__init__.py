"""`compare`: the same queries asked of two stores, side by side."""
