"""The command line `langgraph-lmdb`: a face of the views, the saver and workflows."""
