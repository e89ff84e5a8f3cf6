"""What a wheel says about itself, and where the packaging standards let it install."""
