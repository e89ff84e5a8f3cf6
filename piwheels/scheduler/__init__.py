"""Who builds what: sessions with builders, jobs handed out, files taken in."""
