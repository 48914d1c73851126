"""FAISS recipes by collection size."""
