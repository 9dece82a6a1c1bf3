"""A demonstration: an agent that is killed in mid-run, resumes, is approved, and branches."""
