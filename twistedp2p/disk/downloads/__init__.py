"""Parts of downloads, until they get their names, and what stands in its place."""
