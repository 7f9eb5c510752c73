"""Collections as a whole: the registry, their partitions, their vector indexes, their size."""
