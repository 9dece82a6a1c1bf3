"""Python values to the engine's chunks and back: only what changed is serialized and rebuilt."""
