"""The key-value store on LMDB. Only this package imports the `lmdb` binding."""
