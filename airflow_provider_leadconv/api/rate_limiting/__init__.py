"""How fast requests are sent: a rate that adapts to the limit of the token, shared by the processes of a host."""
