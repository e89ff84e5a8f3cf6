"""The messages between the processes of a farm, and the sockets that carry them."""
