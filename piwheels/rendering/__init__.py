"""What the index and website publishers share: render processes and errors of pages."""
