"""The checkpoint store: ids and bytes, transactions and clocks, and nothing of graphs."""
