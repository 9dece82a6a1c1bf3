"""The page of a store in the browser: a face of the views, the saver and workflows."""
