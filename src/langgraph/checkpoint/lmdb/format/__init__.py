"""The bytes on disk: keys, record envelopes and chunk ranges, as FORMAT.md describes them."""
