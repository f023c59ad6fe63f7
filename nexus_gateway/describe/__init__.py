"""What an application is made of, as immutable values: filters, routes, layers, replies."""
