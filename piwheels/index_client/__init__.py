"""Client of package indexes that speak the Simple API, and the parser of their pages."""
