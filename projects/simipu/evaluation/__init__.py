from .retrieval import CrossModalRetrieval, retrieval_ranks

__all__ = ['CrossModalRetrieval', 'retrieval_ranks']
