"""`verify`: whether two stores hold the same, and answer the same."""
