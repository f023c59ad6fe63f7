"""The knowledge graph: nodes, edges, their history, and ways through them."""
