"""Built-in specs of published savers; a module imports its saver when a store is opened."""
