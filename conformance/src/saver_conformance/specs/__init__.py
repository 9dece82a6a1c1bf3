"""Ready specs of published savers; each module imports its saver only when a store is opened."""
