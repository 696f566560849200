"""The store: which moment of which recording answers a query vector.

A package of its own: numpy, FAISS and SQLite; it knows nothing of networks. Import what you need from
``retrieval.space``, ``retrieval.store``, ``retrieval.index``, ``retrieval.search`` and ``retrieval.metrics``.
"""
