"""Where connections come from, and the transactions on them."""
