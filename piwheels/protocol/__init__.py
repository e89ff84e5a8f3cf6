"""What the processes of a farm say to each other, and the sockets that carry it."""
