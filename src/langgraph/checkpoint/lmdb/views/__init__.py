"""View models: what the threads, steps and differences of a store are, for any face."""
