"""The store on PostgreSQL. Only this folder imports the driver of the store."""
