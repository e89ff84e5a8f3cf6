"""The website: pages for people, written when they change."""
