"""Search: text, vectors and the graph, fused; what is like an entity; recommendations."""
