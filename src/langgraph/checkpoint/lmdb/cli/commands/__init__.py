"""The commands, one module each, which is imported when its command runs."""
