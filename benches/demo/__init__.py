"""A demo: an agent is killed while it runs, resumes, is approved, and branches."""
