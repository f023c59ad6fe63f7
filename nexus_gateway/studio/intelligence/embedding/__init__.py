"""Embeddings: texts as vectors, made here without a model or by a provider's."""
