"""Between Python values and the engine's chunks: serialising and rebuilding only what changed."""
