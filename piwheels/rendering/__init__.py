"""What the publishers of index and website share: render processes and errors of pages."""
