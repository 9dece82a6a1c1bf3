"""Whether a store is whole: checking it record by record, and repairing what can be repaired."""
