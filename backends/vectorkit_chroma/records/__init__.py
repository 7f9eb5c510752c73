"""Records: their rows in Chroma, filters over them, reading and writing."""
