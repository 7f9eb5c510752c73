"""`copy`: every record of one store into another."""
